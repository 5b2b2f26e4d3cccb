"""Workers are killed where they stand; nothing is lost and nothing counts twice."""

import random
import time
from pathlib import Path

from tests.faults.conftest import MakeSettings, Quiet
from tests.faults.crew import Crew
from tests.faults.ledger import Writer
from tests.faults.outcome import await_committed

KILLS = 20
# A kill that was to fall into a checkpoint may come a moment too late.
MOST_KILLS = 30
CUT_OFF = 3
RATE = 400.0


def test_twenty_kills_leave_what_a_quiet_run_leaves(
    quiet: Quiet, settings_of: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_of(log_level="DEBUG")
    dice = random.Random(20)
    cut_off = 0
    with Crew(settings, tmp_path) as crew, Writer(settings, quiet.log, RATE) as writer:
        for worker in [crew.start(), crew.start()]:
            worker.await_ready()
        for number in range(MOST_KILLS):
            if number >= KILLS and cut_off >= CUT_OFF:
                break
            match number % 3 if number < KILLS else 0:
                case 0:  # in the middle of a checkpoint
                    crew.workers[0].await_ready()
                    cut_off += crew.kill_in_a_checkpoint(crew.workers[0], dice.uniform(0.0, 0.004))
                case 1:  # at work, with some checkpoints behind it
                    crew.workers[0].await_ready()
                    time.sleep(dice.uniform(1.0, 4.0))
                    crew.kill(crew.workers[0])
                case _:  # wherever one of the two may be: starting, joining, recovering
                    time.sleep(dice.uniform(0.0, 6.0))
                    crew.kill(dice.choice(crew.workers))
            crew.start()
            crew.check()
        assert writer.writing(), "the kills must fall under load: lower the rate"
        writer.finish()
        await_committed(settings)
        crew.check()
    assert cut_off >= CUT_OFF, f"only {cut_off} kills cut a checkpoint off"
    quiet.assert_left_by(settings)
