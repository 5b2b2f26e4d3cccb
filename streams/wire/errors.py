"""What can be wrong with the bytes of a partition, each error naming the offsets concerned."""


class WireError(Exception):
    """A record batch that cannot be read.

    `base_offset` is the first offset of that batch (-1: not even that is known) and
    `next_offset` the one to go on from when an operator decides to pass it (-1: unknown).
    """

    def __init__(self, sentence: str, base_offset: int = -1, next_offset: int = -1) -> None:
        super().__init__(sentence)
        self.base_offset = base_offset
        self.next_offset = next_offset


class CorruptBatch(WireError):  # noqa: N818 - named after what was met
    """The bytes do not follow the format: a length, a checksum, a varint or a stream is wrong."""


class DecompressionBomb(WireError):  # noqa: N818 - named after what was met
    """A compressed batch opens to more bytes than allowed; it was not opened any further."""


class UnsupportedBatch(WireError):  # noqa: N818 - named after what was met
    """A batch of the old formats (magic 0 or 1) or with a compression that is not known."""
