# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Room for the frames that views read afresh: a second prefix of their questions.

It is a prefix and not part of a tail, because decoding splits the keys of a prefix among many
programs, and lets one program read all keys of a tail.  The room is allocated once.
"""

from __future__ import annotations

from collections.abc import Sequence
import weakref

import torch

from streamvlm_ros.engine.errors import ErrorCode, StillReadError, StreamError
from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.ops.attention import KeysValues


class FreshPrefix:
    """Keys and values of one view's frames; they stay in their place, and are written once.

    Attributes:
        buffer: where they are.
        kv_heads: heads of keys and of values.
        length: tokens written.
        open: whether its place is taken.

    """

    def __init__(self, buffer: KVBuffer, first: int, capacity: int) -> None:
        """Begin empty, with the slots from ``first`` on."""
        self.buffer = buffer
        self.kv_heads = buffer.keys[0].shape[0]
        self._first, self._capacity = first, capacity
        self.length = 0
        self.open = True

    @property
    def spans(self) -> Spans:
        """The slots that are written."""
        return ((self._first, self._first + self.length),) if self.length else ()

    def following(self, tokens: int) -> Spans:
        """Return the slots of the next tokens."""
        start = self._first + self.length
        return ((start, start + tokens),)

    def reserve(self, tokens: int) -> None:
        """Refuse tokens for which there is no room.

        Raises:
            StreamError: OUT_OF_MEMORY.

        """
        if self.length + tokens > self._capacity:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'The view takes {self.length + tokens} tokens, and there is room for '
                f'{self._capacity} (view_tokens); raise it, or lower the number or the size of '
                'the frames.',
            )

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Write [kv_heads, n, head_dim] after what is written; return all of it."""
        [(start, end)] = self.following(keys.shape[1])
        self.buffer.keys[layer][:, start:end] = keys
        self.buffer.values[layer][:, start:end] = values
        whole = slice(self._first, end)
        return self.buffer.keys[layer][:, whole], self.buffer.values[layer][:, whole]

    def advance(self, tokens: int) -> None:
        """Count written tokens in."""
        self.length += tokens

    def close(self) -> None:
        """Give the place back.  May be called again."""
        self.open = False


class ViewRoom:
    """Places for the views that are open at once, all of one size.

    Attributes:
        tokens: that a place has room for.
        places: how many there are.

    """

    def __init__(
        self,
        kv_heads: int,
        head_dim: int,
        places: int,
        tokens: int,
        dtype: torch.dtype,
        devices: Sequence[torch.device],
    ) -> None:
        """Allocate; ``devices`` has one entry a layer."""
        self.places, self.tokens = places, tokens
        with torch.inference_mode(False):
            self._buffer = KVBuffer(kv_heads, head_dim, places * tokens, dtype, devices)
        # Weakly: the place of a question that was dropped is free.
        self._taken: weakref.WeakValueDictionary[int, FreshPrefix] = weakref.WeakValueDictionary()

    @property
    def memory_bytes(self) -> int:
        """Bytes that it takes."""
        return self._buffer.nbytes

    @property
    def free(self) -> int:
        """Places that are not taken."""
        return self.places - sum(each.open for each in self._taken.values())

    def take(self) -> FreshPrefix:
        """Take a place; ``FreshPrefix.close`` gives it back.

        Raises:
            StillReadError: BUSY; all are taken.

        """
        for place in range(self.places):
            there = self._taken.get(place)
            if there is None or not there.open:
                prefix = FreshPrefix(self._buffer, place * self.tokens, self.tokens)
                self._taken[place] = prefix
                return prefix
        raise StillReadError(
            ErrorCode.BUSY,
            f'{self.places} questions with a view of their own are open already; ask again when '
            'one has ended, or raise open_views.',
        )
