"""What a replay has had acknowledged, in a small file, so that a second run goes on from there."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streams.errors import OperatorError
from streams.whole_file import write_whole

SAMPLE_BYTES = 65_536


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """The state of a replay.

    Attributes:
        topic: Where it sends to.
        files: Digest of the files, in their order.
        lines: How many lines are done, counted over all files: acknowledged, or refused.
        sent: How many of them were sent.
        hour: Last hour ticked, None before the first.
        offsets: By partition, the offset behind the last record that is surely counted in
            `lines`. Whatever lies behind it may have been sent by the run that broke off.
        finished: Whether every line is done.
        clean: Whether the run ended in order: then nothing lies behind `offsets` that is ours.
    """

    topic: str
    files: str
    lines: int = 0
    sent: int = 0
    hour: int | None = None
    offsets: dict[int, int] = {}
    finished: bool = False
    clean: bool = True


def digest(files: Sequence[Path]) -> str:
    """Tells sets of files apart: by size, first and last 64 KiB of each.

    Raises:
        OperatorError: A file cannot be read.
    """
    state = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as content:
                size = content.seek(0, os.SEEK_END)
                state.update(size.to_bytes(8, "big"))
                for at in (0, max(0, size - SAMPLE_BYTES)):
                    content.seek(at)
                    state.update(content.read(SAMPLE_BYTES))
        except OSError as error:
            raise OperatorError(f"{path} cannot be read: {error.strerror}.") from None
    return state.hexdigest()


def load(path: Path, topic: str, files: Sequence[Path]) -> Progress:
    """The progress of these files to this topic; a new one where there is no file yet.

    Raises:
        OperatorError: The progress file is of other files or another topic, or is broken.
    """
    found = digest(files)
    try:
        progress = msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress(topic, found)
    except (OSError, msgspec.DecodeError) as error:
        raise OperatorError(
            f"The progress file {path} cannot be read ({error}): delete it to begin anew, or name "
            "another with --progress."
        ) from None
    if (progress.topic, progress.files) != (topic, found):
        raise OperatorError(
            f"The progress file {path} belongs to other files or another topic than {topic}: "
            "delete it to begin anew, or name another with --progress."
        )
    return progress


def save(path: Path, progress: Progress) -> None:
    """Write it whole or not at all.

    Raises:
        OperatorError: The folder is not writable.
    """
    try:
        write_whole(path, msgspec.json.encode(progress))
    except OSError as error:
        raise OperatorError(
            f"The progress file {path} cannot be written ({error.strerror}): name another with "
            "--progress."
        ) from None
