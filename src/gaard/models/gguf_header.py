"""What a GGUF file says of itself, held against its size before a reader believes it.

The header is that of version 2 and 3 (ggml's docs/gguf.md): counts and lengths are 64-bit numbers, and a reader that
takes them as they stand makes room for what is not there.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of numbers, by type
INTEGERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
TEXT, ARRAY = 8, 9
MOST_DIMENSIONS = 8
DEEPEST = 4  # arrays in arrays
# Metadata by which a model is built, and what of the tensors they cannot exceed.
LAYERS = "block_count"
WIDTHS = ("embedding_length", "feed_forward_length", "vocab_size", "expert_count", "expert_feed_forward_length")


def check_header(path: Path) -> int:
    """Refuse a file whose header cannot be true of a file of its size.

    Args:
        path: Of a GGUF file.

    Returns:
        How many weights its tensors have.

    Raises:
        ValueError: Saying what is claimed and what there is.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        reader = _Reader(stream, size)
        if reader.take(4) != MAGIC:
            raise ValueError("it does not begin with b'GGUF'")
        version = reader.number("<I")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version}, and 2 and 3 are known")
        tensors, entries = reader.number("<Q"), reader.number("<Q")
        reader.fits(tensors, 24, "tensors")
        reader.fits(entries, 13, "entries of metadata")
        numbers = dict(filter(None, (reader.entry() for _ in range(entries))))
        return _checked(numbers, [reader.shape() for _ in range(tensors)], size)


def _checked(numbers: dict[str, int], shapes: list[list[int]], size: int) -> int:
    """The weights of all tensors; refused are more than the file can hold, and more layers than tensors."""
    elements = sum(map(math.prod, shapes))
    if any(0 in shape for shape in shapes):
        raise ValueError("it has a tensor with nothing in it")
    if elements > 8 * size:  # the densest types take more than one bit a weight
        raise ValueError(f"its tensors are said to have {elements:,} weights, more than bits in its {size:,} bytes")
    widest = max((dimension for shape in shapes for dimension in shape), default=0)
    for key, number in numbers.items():
        name = key.rpartition(".")[2]
        most = len(shapes) if name == LAYERS else widest if name in WIDTHS else None
        if most is not None and not 0 <= number <= most:
            raise ValueError(f"{key} is {number:,}, and its {len(shapes):,} tensors are of {widest:,} at most")
    return elements


class _Reader:
    """A file that is never read past its end, nor in one piece longer than it is."""

    def __init__(self, stream: BinaryIO, size: int):
        self.stream, self.size = stream, size

    def fits(self, count: int, least: int, what: str) -> None:
        """Refuse a count of things, of ``least`` bytes each, for which there is no room."""
        left = self.size - self.stream.tell()
        if count * least > left:
            raise ValueError(f"it is said to hold {count:,} {what}, and {left:,} bytes are left in it")

    def take(self, count: int) -> bytes:
        self.fits(count, 1, "bytes of one value")
        return self.stream.read(count)

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8", errors="replace")

    def entry(self) -> tuple[str, int] | None:
        """One entry of metadata: its key and value, if that is a whole number."""
        key, kind = self.text(), self.number("<I")
        if kind in INTEGERS:
            return key, self.number(INTEGERS[kind])
        self.skip(kind, 0)
        return None

    def skip(self, kind: int, depth: int) -> None:
        """Pass over a value."""
        if kind in SIZES:
            self.take(SIZES[kind])
        elif kind == TEXT:
            self.take(self.number("<Q"))
        elif kind == ARRAY and depth < DEEPEST:
            inner, count = self.number("<I"), self.number("<Q")
            self.fits(count, SIZES.get(inner, 8), "values of one array")
            if inner in SIZES:
                self.stream.seek(count * SIZES[inner], 1)
            else:
                for _ in range(count):
                    self.skip(inner, depth + 1)
        else:
            raise ValueError(f"it has a value of type {kind}, which is not known there")

    def shape(self) -> list[int]:
        """Of a tensor; its name, type and place are passed over."""
        self.text()
        dimensions = self.number("<I")
        if dimensions > MOST_DIMENSIONS:
            raise ValueError(f"it has a tensor of {dimensions:,} dimensions")
        shape = [self.number("<Q") for _ in range(dimensions)]
        self.take(12)
        return shape
