"""How kernels are compiled: one decorator, and a cache that never serves a stale kernel.

numba's own cache looks at the file of the kernel alone: a change in a kernel that it calls, or
in a table that it was built from, would go unnoticed. So the cache lives in a directory named
after a digest of every source file beside a kernel. A change compiles everything anew, once.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGES = ("features", "scorers", "streams")
_MARK = b"from features.compiler import"


def _sources(root: Path) -> list[Path]:
    """Return the Python files of every folder that holds a kernel, in a stable order."""
    files = [file for name in _PACKAGES for file in sorted((root / name).rglob("*.py"))]
    folders = {file.parent for file in files if _MARK in file.read_bytes()}
    return [file for file in files if file.parent in folders]


def digest_of_sources(root: Path) -> str:
    """Return 16 hex digits that change when any file beside a kernel under `root` does."""
    digest = hashlib.sha256()
    for file in _sources(root):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(b"\0")
        digest.update(file.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """Return where compiled kernels are kept.

    `$NUMBA_CACHE_DIR`, else `$XDG_CACHE_HOME`, else `~/.cache`; below it `duoshou/<digest>`.
    """
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    base = Path(given) if given else Path.home() / ".cache"
    return base / "duoshou" / digest_of_sources(Path(__file__).resolve().parents[1])


_numba: Any = numba
_numba.config.CACHE_DIR = str(cache_directory())

JIT = not _numba.config.DISABLE_JIT
"""False with `NUMBA_DISABLE_JIT=1`: then every kernel is the plain function that it reads as."""


def kernel(function: Function) -> Function:
    """Compile `function` on its first call, to run without the interpreter lock.

    No fast maths: a sum is the same number compiled and uncompiled. And no reference counting:
    passing a tuple of arrays on would cost two atomic operations an array and call, tens of
    times what most kernels do. So a kernel allocates nothing, and returns no array that it was
    not given; numba says so when one tries.
    """
    return cast(Function, _numba.njit(nogil=True, cache=True, _nrt=False)(function))


def inlined(function: Function) -> Function:
    """Compile like `kernel`, and always into its callers: for what is small or called once."""
    return cast(
        Function, _numba.njit(nogil=True, cache=True, _nrt=False, forceinline=True)(function)
    )


def pasted(function: Function) -> Function:
    """Put the body of `function` in place of each call: for what returns a view of an array."""
    return cast(Function, _numba.njit(nogil=True, _nrt=False, inline="always")(function))
