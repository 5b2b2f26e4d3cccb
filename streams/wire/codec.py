"""Kafka's compressions, opened into a bounded space and written at their fast levels.

gzip is the one of the standard library, the others are cramjam's. All of them let other
threads run meanwhile.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from enum import IntEnum

import cramjam
import numpy as np
from numpy.typing import NDArray

from streams.wire.errors import CorruptBatch, DecompressionBomb, UnsupportedBatch, WireError


class Compression(IntEnum):
    """Bits 0-2 of a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL + (1).to_bytes(4, "big") * 2
_GZIP_WINDOW = 31  # zlib's number for: gzip wrapping, 32 kB window
_NO_ROOM = "failed to write whole buffer"  # how cramjam says that the target is full
_FIRST_GUESS = 4


def decompress(compression: int, source: memoryview, max_bytes: int) -> NDArray[np.uint8]:
    """Return what `source` opens to.

    Raises `DecompressionBomb` when that is more than `max_bytes` (no more than that is ever
    written), `CorruptBatch` when the stream is broken or has bytes after its end,
    `UnsupportedBatch` when the compression is none of `Compression`.

    >>> decompress(Compression.GZIP, memoryview(zlib.compress(b"abc", wbits=31)), 10).tobytes()
    b'abc'
    """
    arena = Arena(min(max_bytes, _FIRST_GUESS * len(source)))
    at, end = arena.open(compression, source, max_bytes)
    return arena.text[at:end]


class Arena:
    """One growing text into which batch after batch is opened; `used` bytes of it are filled."""

    def __init__(self, capacity: int) -> None:
        self.text = np.empty(capacity, np.uint8)
        self.used = 0

    def open(self, compression: int, source: memoryview, max_bytes: int) -> tuple[int, int]:
        """Append what `source` opens to; return where it begins and ends in `text`.

        Raises as `decompress` does, `used` is then as before.
        """
        try:
            if compression == Compression.SNAPPY:
                return self._take(self._snappy(source, max_bytes))
            if compression == Compression.GZIP:
                return self._take(self._gzip(source, max_bytes))
            if compression == Compression.LZ4:
                return self._take(self._growing(cramjam.lz4.decompress_into, source, max_bytes))
            if compression == Compression.ZSTD:
                return self._take(self._growing(cramjam.zstd.decompress_into, source, max_bytes))
        except (cramjam.DecompressionError, zlib.error) as error:
            raise CorruptBatch(f"its {_name(compression)} stream is broken ({error})") from error
        raise UnsupportedBatch(f"its compression has the number {compression}, which nobody knows")

    def reserve(self, size: int) -> tuple[int, int]:
        """Make room for `size` bytes that the caller fills; return where they begin and end."""
        self._room_for(size)
        return self._take(size)

    def _take(self, size: int) -> tuple[int, int]:
        at = self.used
        self.used += size
        return at, self.used

    def _room_for(self, size: int, written: int = 0) -> None:
        """Make room for `size` bytes behind the used ones, of which `written` are there."""
        if self.used + size > self.text.size:
            grown = np.empty(max(self.used + size, 2 * self.text.size), np.uint8)
            kept = self.used + written
            grown[:kept] = self.text[:kept]
            self.text = grown

    def _growing(
        self, into: Callable[[memoryview, memoryview], int], source: memoryview, max_bytes: int
    ) -> int:
        """Open a stream that does not say how much it holds: with more room until it fits."""
        room = min(max_bytes, max(self.text.size - self.used, _FIRST_GUESS * len(source)))
        while True:
            self._room_for(room)
            try:
                return into(source, self.text[self.used : self.used + room].data)
            except cramjam.DecompressionError as error:
                if _NO_ROOM not in str(error):
                    raise
            if room == max_bytes:
                raise _bomb(max_bytes)
            room = min(max_bytes, 4 * room)

    def _gzip(self, source: memoryview, max_bytes: int) -> int:
        stream = zlib.decompressobj(_GZIP_WINDOW)
        opened = stream.decompress(source, max_bytes + 1)
        if len(opened) > max_bytes:
            raise _bomb(max_bytes)
        if not stream.eof or stream.unused_data:
            raise CorruptBatch("its gzip stream does not end where the batch does")
        self._room_for(len(opened))
        self.text[self.used : self.used + len(opened)] = np.frombuffer(opened, np.uint8)
        return len(opened)

    def _snappy(self, source: memoryview, max_bytes: int) -> int:
        """Open raw snappy, or the blocks with lengths between them that Java clients write."""
        if source[: len(_XERIAL)] != _XERIAL:
            return self._snappy_block(source, 0, max_bytes)
        at, written = len(_XERIAL_HEADER), 0
        while at < len(source):
            size = int.from_bytes(source[at : at + 4], "big")
            at += 4
            if size > len(source) - at:
                raise CorruptBatch("a block of its snappy stream is longer than the batch")
            written += self._snappy_block(source[at : at + size], written, max_bytes)
            at += size
        return written

    def _snappy_block(self, block: memoryview, written: int, max_bytes: int) -> int:
        size = cramjam.snappy.decompress_raw_len(block)
        if written + size > max_bytes:
            raise _bomb(max_bytes)
        self._room_for(written + size, written)
        at = self.used + written
        return cramjam.snappy.decompress_raw_into(block, self.text[at : at + size].data)


def compress(compression: int, section: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Write the compressed `section` to `out`, fast level; return how many bytes it took.

    `out` has at least `compressed_bound(section.size)` bytes. Snappy is framed as Java clients
    frame it. gzip is not written: it costs ten times the others.
    """
    if compression == Compression.SNAPPY:
        head = len(_XERIAL_HEADER)
        size = cramjam.snappy.compress_raw_into(section.data, out[head + 4 :].data)
        out[:head] = np.frombuffer(_XERIAL_HEADER, np.uint8)
        out[head : head + 4] = np.frombuffer(size.to_bytes(4, "big"), np.uint8)
        return head + 4 + size
    if compression == Compression.LZ4:
        # Independent blocks: brokers do not read linked ones.
        stream = cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False)
        stream.compress(section.tobytes())
        packed = stream.finish()
    elif compression == Compression.ZSTD:
        packed = cramjam.zstd.compress(section.data, level=1)
    else:
        raise UnsupportedBatch(
            f"compression {compression} is not written: use none, snappy, lz4 or zstd"
        )
    out[: len(packed)] = np.frombuffer(memoryview(packed), np.uint8)
    return len(packed)


def compressed_bound(size: int) -> int:
    """Return a number of bytes into which `size` bytes fit in any compression."""
    return size + size // 6 + 1024


def _bomb(max_bytes: int) -> WireError:
    return DecompressionBomb(f"it opens to more than the {max_bytes} bytes allowed")


def _name(compression: int) -> str:
    return Compression(compression).name.lower()
