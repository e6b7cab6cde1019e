# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors in a byte a number, in blocks, and their scalar products with another vector."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses

import numpy as np

BLOCK = 1024  # vectors that are read, and multiplied, in one piece
LARGEST = 127


@dataclasses.dataclass(frozen=True)
class Block:
    """Moments of one stream with their vectors.

    Attributes:
        numbers: int64 [n].
        stamps: int64 [n], in nanoseconds.
        scales: float32 [n]; a vector is its scale times its bytes.
        vectors: int8 [n, dimensions].

    """

    numbers: np.ndarray
    stamps: np.ndarray
    scales: np.ndarray
    vectors: np.ndarray

    @classmethod
    def joined(cls, blocks: Iterable[Block]) -> Block:
        """Return several blocks as one."""
        each = list(blocks)
        return cls(*(np.concatenate(parts) for parts in zip(*(block.parts for block in each))))

    @classmethod
    def unpacked(cls, count: int, dimensions: int, blobs: Iterable[bytes]) -> Block:
        """Return the block that ``blobs`` gives the bytes of.

        Raises:
            ValueError: the bytes are not those of so many vectors.

        """
        numbers, stamps, scales, vectors = blobs
        block = cls(
            np.frombuffer(numbers, np.int64),
            np.frombuffer(stamps, np.int64),
            np.frombuffer(scales, np.float32),
            np.frombuffer(vectors, np.int8).reshape(-1, dimensions),
        )
        if {len(part) for part in block.parts} != {count}:
            raise ValueError(f'a block has {len(block.vectors)} vectors instead of {count}')
        return block

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """Its arrays."""
        return self.numbers, self.stamps, self.scales, self.vectors

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """Its arrays as bytes."""
        return tuple(part.tobytes() for part in self.parts)

    def within(self, since_ns: int, until_ns: int) -> np.ndarray:
        """Return bool [n]: whose stamps are in a span, both ends included."""
        return (self.stamps >= since_ns) & (self.stamps <= until_ns)

    def taken(self, mask: np.ndarray) -> Block:
        """Return those of a mask, bool [n]."""
        return Block(*(part[mask] for part in self.parts))


def quantize(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 vectors [n, d] as scales [n] and int8 [n, d]; a vector of zeros stays one."""
    scales = np.abs(vectors).max(axis=1, initial=0.0) / LARGEST
    safe = np.where(scales > 0, scales, 1.0)
    return scales.astype(np.float32), np.rint(vectors / safe[:, None]).astype(np.int8)


class Nearest:
    """Collects the moments with the largest scalar products, block by block."""

    def __init__(self, vector: np.ndarray, count: int, since_ns: int, until_ns: int) -> None:
        """Look for ``count`` moments of a span whose vectors are near ``vector``, float32 [d]."""
        self._vector, self._count = vector, count
        self._span = since_ns, until_ns
        # One buffer for all blocks: allocating one for each takes several times the product.
        self._wide = np.empty((BLOCK, len(vector)), np.float32)
        self._best: list[tuple[float, str, int, int]] = []

    def look(self, stream: str, block: Block) -> None:
        """Take what is near in a block, of at most ``BLOCK`` vectors, of a stream."""
        wide = self._wide[: len(block.vectors)]
        np.copyto(wide, block.vectors)
        scores = (wide @ self._vector) * block.scales
        inside = np.flatnonzero(block.within(*self._span))
        if len(inside) > self._count:
            inside = inside[np.argpartition(-scores[inside], self._count)[: self._count]]
        self._best += [
            (float(scores[i]), stream, int(block.numbers[i]), int(block.stamps[i])) for i in inside
        ]
        if len(self._best) > 64 * self._count:
            self._best = self._sorted()

    def best(self) -> list[tuple[float, str, int, int]]:
        """Return score, stream, number and stamp of the nearest, the nearest first."""
        return self._sorted()

    def _sorted(self) -> list[tuple[float, str, int, int]]:
        # Of equal scores the newest first.
        return sorted(self._best, key=lambda row: (-row[0], -row[3]))[: self._count]
