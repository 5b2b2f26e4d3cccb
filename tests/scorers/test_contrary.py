"""Outcomes told the wrong way round do not reach the workers, and honest ones all do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.contrary import ALARM, Contrary, ContraryState
from scorers.guards import check_move
from scorers.prior import BUILT_IN
from scorers.training import LONGEST_DISBELIEF, Training, TrainingState
from tests.scorers.simulated import stream

if TYPE_CHECKING:
    from scorers.scorecard import Scorecard
    from tests.scorers.outcomes import Example
    from tests.scorers.simulated import Stream

RATES = (0.003, 0.01, 0.05, 0.2)
SNAPSHOT = 20


def outcomes_of(loans: Stream) -> list[Example]:
    return list(zip(loans.features, map(bool, loans.bad), strict=True))


def flipped(outcomes: list[Example]) -> list[Example]:
    return [(features, not bad) for features, bad in outcomes]


class Published:
    """A training, and what the trainer publishes of it as it learns."""

    def __init__(self) -> None:
        self.training = Training()
        self.live = BUILT_IN
        self.refused = 0

    def learn(self, outcomes: list[Example]) -> list[Scorecard]:
        """Learn, and return every scorecard that got through to the workers meanwhile."""
        through = []
        for at, (features, bad) in enumerate(outcomes, 1):
            self.training.take(features, bad)
            if at % SNAPSHOT == 0:
                try:
                    candidate = self.training.scorecard(1)
                    check_move(candidate, self.live)
                except ValueError:
                    self.refused += 1
                    continue
                self.live = candidate
                through.append(candidate)
        return through


@pytest.mark.parametrize("learnt", [500, 3_000])
@pytest.mark.parametrize("rate", RATES)
def test_a_hundred_flipped_outcomes_do_not_reach_the_workers(rate: float, learnt: int) -> None:
    outcomes = outcomes_of(stream(rate, learnt + 600, 1, seed=1))
    published = Published()
    published.learn(outcomes[:learnt])
    before = published.live
    through = published.learn(flipped(outcomes[learnt : learnt + 100]))
    # Whatever was published meanwhile is what had been learnt before them.
    assert all(each == through[0] for each in through)
    for was, now in zip(before.features, published.live.features, strict=True):
        assert now.weight == pytest.approx(was.weight, abs=0.02)
    assert published.refused > 0
    assert published.training.report().passed_over > 50
    # Honest ones are learnt again soon, as if nothing had been in between.
    refused = published.refused
    published.learn(outcomes[learnt + 100 :])
    assert published.refused <= refused + 1
    unspoilt = Published()
    unspoilt.learn(outcomes[:learnt] + outcomes[learnt + 100 :])
    for was, now in zip(unspoilt.live.features, published.live.features, strict=True):
        assert now.weight == pytest.approx(was.weight, abs=0.1)
    assert published.live.bias == pytest.approx(unspoilt.live.bias, abs=0.3)


@pytest.mark.parametrize("rate", RATES)
def test_a_hundred_flipped_outcomes_before_any_other_are_stopped_by_the_band(rate: float) -> None:
    training = Training()
    for features, bad in flipped(outcomes_of(stream(rate, 100, 1, seed=1))):
        training.take(features, bad)
    with pytest.raises(ValueError, match=r"reference set|the contrary"):
        check_move(training.scorecard(1), BUILT_IN)


@pytest.mark.parametrize("rate", RATES)
def test_an_honest_change_gets_through(rate: float) -> None:
    """The rate of bad loans doubles, and four weights change by two of their deviations."""
    loans = stream(rate, 3_000, 2_000, seed=2)
    published = Published()
    through = published.learn(outcomes_of(loans))
    assert published.refused == 0
    assert len(through) == len(loans.bad) // SNAPSHOT
    assert published.training.report().passed_over == 0
    before = loans.measured(through[3_000 // SNAPSHOT - 1], changed=True)
    assert abs(loans.measured(through[-1], changed=True).ratio - 1) < abs(before.ratio - 1)


def test_outcomes_that_say_the_contrary_for_a_thousand_times_make_learning_begin_anew() -> None:
    outcomes = outcomes_of(stream(0.01, 1_000 + LONGEST_DISBELIEF + 400, 1, seed=1))
    training = Training()
    for features, bad in outcomes[:1_000]:
        training.take(features, bad)
    given_up = 0
    for features, bad in flipped(outcomes[1_000:]):
        training.take(features, bad)
        state = training.state()
        given_up += state.champion.examples == 0
    assert given_up == 1
    assert 0 < state.champion.examples < 420
    assert training.report().passed_over == LONGEST_DISBELIEF
    assert training.scorecard(1).bias > 0


def test_killed_amid_outcomes_that_are_doubted_it_goes_on_to_the_same_bits() -> None:
    outcomes = outcomes_of(stream(0.05, 660, 1, seed=1))
    outcomes[600:630] = flipped(outcomes[600:630])
    whole, resumed, doubted = Training(), Training(), 0
    for at, (features, bad) in enumerate(outcomes):
        whole.take(features, bad)
        resumed.take(features, bad)
        if at >= 595:
            raw = msgspec.json.encode(resumed.state())
            state = msgspec.json.decode(raw, type=TrainingState)
            doubted += state.trusted is not None
            resumed = Training.restored(state)
    assert resumed.state() == whole.state()
    assert doubted > 3
    assert whole.report().passed_over > 20


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), max_size=60), st.integers(0, 60))
def test_the_test_itself_goes_on_to_the_same_bits(
    outcomes: list[tuple[float, bool]], cut: int
) -> None:
    whole, resumed = Contrary(), Contrary()
    for at, outcome in enumerate(outcomes):
        if at == cut:
            raw = msgspec.json.encode(resumed.state())
            resumed = Contrary.restored(msgspec.json.decode(raw, type=ContraryState))
        assert whole.believes(*outcome) == resumed.believes(*outcome)
        assert 0 <= whole.evidence <= ALARM
    assert resumed.state() == whole.state()


@pytest.mark.parametrize("probability", [1e-9, 0.001, 0.2, 0.5, 0.9, 1 - 1e-9])
@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.5, 2.0])
def test_under_no_honest_odds_is_the_ratio_expected_to_rise(
    probability: float, factor: float
) -> None:
    """Else chance could add up to an alarm."""
    odds = probability / (1 - probability) * factor
    chance, mean = {True: odds / (1 + odds), False: 1 / (1 + odds)}, 0.0
    for bad in (True, False):
        contrary = Contrary.restored(ContraryState(evidence=ALARM / 2))
        contrary.believes(probability, bad)
        mean += chance[bad] * math.exp(contrary.evidence - ALARM / 2)
    # A ratio near 0 is cut off at the bottom, which adds so much.
    assert mean <= 1 + math.exp(-ALARM / 2)


@pytest.mark.parametrize("probability", [1e-9, 0.003])
def test_no_single_outcome_is_doubted(probability: float) -> None:
    contrary = Contrary()
    for _ in range(100):
        assert contrary.believes(probability, False)
    assert contrary.believes(probability, True)
    assert contrary.believes(probability, True)
    assert not all(contrary.believes(probability, True) for _ in range(3))
