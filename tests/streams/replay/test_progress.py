from pathlib import Path

import pytest

from streams.errors import OperatorError
from streams.replay import progress
from streams.replay.progress import Progress


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(name)
    return [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]


def test_without_a_file_the_replay_begins_anew(tmp_path: Path, files: list[Path]) -> None:
    begun = progress.load(tmp_path / "none.json", "payments", files)
    assert (begun.lines, begun.sent, begun.finished, begun.clean) == (0, 0, False, True)


def test_what_is_saved_is_read_again(tmp_path: Path, files: list[Path]) -> None:
    kept = tmp_path / "progress.json"
    told = Progress(
        "payments", progress.digest(files), 7, 6, 490_921, {0: 4, 3: 2}, finished=False, clean=False
    )
    progress.save(kept, told)
    assert progress.load(kept, "payments", files) == told
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".new")] == []


@pytest.mark.parametrize("change", ["topic", "content", "order"])
def test_the_progress_of_something_else_is_refused(
    tmp_path: Path, files: list[Path], change: str
) -> None:
    kept, topic = tmp_path / "progress.json", "payments"
    progress.save(kept, progress.load(kept, topic, files))
    if change == "topic":
        topic = "lab.payments"
    elif change == "content":
        files[1].write_text("other")
    else:
        files.reverse()
    with pytest.raises(OperatorError, match="belongs to other files or another topic"):
        progress.load(kept, topic, files)


def test_a_broken_progress_file_is_named(tmp_path: Path, files: list[Path]) -> None:
    kept = tmp_path / "progress.json"
    kept.write_text("{")
    with pytest.raises(OperatorError, match=r"cannot be read.*delete it to begin anew"):
        progress.load(kept, "payments", files)


def test_a_folder_that_takes_no_progress_file_is_an_error_before_anything_is_lost(
    tmp_path: Path, files: list[Path]
) -> None:
    with pytest.raises(OperatorError, match=r"cannot be written.*name another with --progress"):
        progress.save(tmp_path / "absent" / "progress.json", Progress("payments", ""))
