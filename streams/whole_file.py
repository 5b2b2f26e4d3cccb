"""Writes a file whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in the place of the one before, once it is on the disk.

    Raises:
        OSError: The folder is not writable, or the disk is full; the file before is still there.
    """
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
