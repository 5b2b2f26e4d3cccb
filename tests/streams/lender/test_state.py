from pathlib import Path

import pytest

from streams.errors import OperatorError
from streams.lender.state import State, load, save
from tests.streams.lender.updates import NEWEST


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json", "platform") == State("platform")


def test_what_is_saved_is_read_again_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    kept = tmp_path / "state.json"
    save(kept, State("platform"))
    state = State("platform", {"limit-updates.platform": {0: 17, 3: 0}}, NEWEST)
    save(kept, state)
    assert load(kept, "platform") == state
    assert list(tmp_path.iterdir()) == [kept]


def test_the_state_of_another_lender_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "state.json", State("harbour"))
    with pytest.raises(OperatorError, match="belongs to lender harbour, not platform"):
        load(tmp_path / "state.json", "platform")


@pytest.mark.parametrize("text", ["", "{", '{"lender": "platform", "positions": {"t": {"x": 1}}}'])
def test_a_broken_state_is_named(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "state.json"
    kept.write_text(text)
    with pytest.raises(OperatorError, match=f"{kept} cannot be read"):
        load(kept, "platform")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    kept = tmp_path / "nowhere" / "state.json"
    with pytest.raises(OperatorError, match="cannot be written"):
        save(kept, State("platform"))
