# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keys and values in buffers that are allocated once; the cache is a list of entries with slots.

New tokens take the slots after the newest token, round and round, and a cached token never moves.
Keys carry their rotation, so a reader needs no order: it sees a short list of contiguous spans.
Which slots are taken does not depend on readers: if one of them still holds such a slot, the
stream waits.  So every byte of a stream is where it would be if no question had been asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
from typing import Protocol
import weakref

import torch

from streamvlm_ros.engine.errors import ErrorCode, StillReadError, StreamError
from streamvlm_ros.engine.kvcache.allocator import (
    complement,
    count,
    cut,
    overlap,
    SlotAllocator,
    Spans,
)
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryInfo, EntryKind
from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, SequenceMetadata
from streamvlm_ros.engine.ops.attention import attend, join_heads, KeysValues, Tree
from streamvlm_ros.engine.ops.rotary import Rotation


class KVContext(Protocol):
    """Where a decoder pass writes its keys and values, and what its queries see."""

    def reserve(self, tokens: int) -> None:
        """Make room for ``tokens`` tokens; raise StreamError if they do not fit."""

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Store new keys and values, and attend; see ``decoder.Attends``."""

    def table(self, tokens: int) -> SequenceMetadata | BatchMetadata | None:
        """Return for kernels where all of it is, after ``reserve``; None: only ``attend`` can."""

    def advance(self, tokens: int) -> None:
        """Make what was written part of the context."""


class Reader(Protocol):
    """What reads the cache in place: until it is closed or garbage, its slots are not written.

    Attributes:
        opened: the cache's clock when it began to read.
        open: whether its slots are held.

    """

    opened: int
    open: bool

    def revoke(self) -> None:
        """Close it because the cache was emptied."""


class StreamCache:
    """One stream's keys and values: a buffer [kv_heads, capacity, head_dim] a layer.

    Attributes:
        entries: what is cached, in the order in which it came.
        spans: the slots of all entries, disjoint and ascending.
        length: tokens cached.
        oldest_patch: the oldest temporal patch that is cached; None: there is none.
        rebased: how often keys were rotated to new positions.
        taken: tokens that ever came.

    """

    def __init__(
        self,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: torch.dtype,
        devices: Sequence[torch.device],
    ) -> None:
        """Allocate buffers for ``capacity`` tokens; ``devices`` has one entry a layer."""
        # Plain tensors even when a first forward allocates them inside inference mode.
        with torch.inference_mode(False):
            self.buffer = KVBuffer(kv_heads, head_dim, capacity, dtype, devices)
        self.keys, self.values = self.buffer.keys, self.buffer.values
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._clock = 0
        self.taken = 0
        self.rebased = 0
        self.clear()

    def clear(self) -> None:
        """Empty the cache; the buffers stay, open readers are revoked."""
        for reader in list(self._readers):
            reader.revoke()
        self._readers.clear()
        self._ring = SlotAllocator(self.capacity)
        self._held: list[tuple[CacheEntry, int]] = []  # dropped but read, and when
        self._next: Spans = ()
        self._set([])

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self.keys[0].shape[1]

    @property
    def memory_bytes(self) -> int:
        """Bytes that the buffers take, full or not."""
        return self.buffer.nbytes

    @property
    def free(self) -> int:
        """Slots without a cached token; readers may still hold some of them."""
        return len(self._ring)

    @property
    def pinned(self) -> bool:
        """Whether a reader is open."""
        return bool(self.readers)

    @property
    def readers(self) -> frozenset[Reader]:
        """The readers that are open."""
        return frozenset(reader for reader in self._readers if reader.open)

    @property
    def ids(self) -> frozenset[int]:
        """The different token ids of all that is cached now."""
        # Patches have equal sets: there are few different ones, however much is cached.
        return frozenset().union(*{entry.ids for entry in self.entries})

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the tokens cached, under the name that transformers' caches use."""
        return self.length

    def reserve(self, tokens: int) -> None:
        """Choose the slots of the next tokens, before anything is computed.

        Raises:
            StreamError: OUT_OF_MEMORY when there are too few; a StillReadError when readers hold
                some of them.  Nothing was changed.

        """
        if tokens > self.free:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'The KV cache is full: {self.length} of {self.capacity} tokens are taken and '
                f'{tokens} more were to come; reset the stream or raise the capacity.',
            )
        if not self.has_room(tokens):
            raise self.still_read()
        self._next = self._ring.following(_end_of(self.entries), tokens)

    def has_room(self, tokens: int, gone: Iterable[CacheEntry] = ()) -> bool:
        """Tell whether ``tokens`` tokens would fit now if the entries ``gone`` were dropped."""
        dropped = set(gone)
        newest = max((reader.opened for reader in self.readers), default=0)
        self._reclaim()
        held = [span for entry, _ in self._held for span in entry.spans]
        held += [span for entry in dropped if entry.born < newest for span in entry.spans]
        spans = self._following(tokens, dropped)
        return count(spans) == tokens and not overlap(spans, held)

    def takes_from(self, tokens: int, gone: Iterable[CacheEntry]) -> bool:
        """Tell whether the next tokens take slots of these entries, which are still cached.

        A reader that is opened now would hold them too.
        """
        dropped = set(gone)
        return overlap(
            self._following(tokens, dropped), [span for entry in dropped for span in entry.spans]
        )

    @staticmethod
    def still_read() -> StillReadError:
        """Return the error for tokens whose slots readers still hold."""
        return StillReadError(
            ErrorCode.OUT_OF_MEMORY,
            'Open answers still read what the stream has dropped, and the KV cache is full; new '
            'frames are taken again when an answer has ended. Ask for shorter answers, or raise '
            'the capacity.',
        )

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write [kv_heads, n, head_dim] into the slots that ``reserve`` chose."""
        start = 0
        for first, end in self._next:
            part = slice(start, start + end - first)
            self.keys[layer][:, first:end] = keys[:, part]
            self.values[layer][:, first:end] = values[:, part]
            start = part.stop

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Store, and attend to all that is cached and causally to the new tokens."""
        query, keys, values = rotation.split(qkv, self.keys[0].shape[0])
        self.store(layer, keys, values)
        n = keys.shape[1]
        tree = None if n == 1 else Tree.causal(n)
        return join_heads(
            attend(
                query,
                [
                    *((*piece, None) for piece in self.buffer.views(layer, self.spans)),
                    (keys, values, tree),
                ],
            )
        )

    def table(self, tokens: int) -> SequenceMetadata | None:
        """See ``KVContext.table``."""
        return SequenceMetadata.of([(self.buffer, self.spans)], self.buffer, self._next)

    def advance(self, tokens: int) -> None:
        """Make the tokens that were written an entry."""
        self._clock += 1
        entry = CacheEntry(self._next, tokens, self._clock, self.taken)
        self._ring.take(self._next)
        self.taken += tokens
        self._next = ()
        self._set([*self.entries, entry])

    def label(
        self, labels: Sequence[tuple[int, EntryInfo]], positions: torch.Tensor, ids: Sequence[int]
    ) -> None:
        """Cut the newest entry into what its tokens are.

        Args:
            labels: one after the other, how many tokens are what; together, the entry.
            positions: int64 [3, tokens].
            ids: of the tokens.

        """
        whole = self.entries[-1]
        spans, start, entries = whole.spans, 0, []
        for size, label in labels:
            own, spans = cut(spans, size)
            # Copied, so that no entry holds the positions of all that came with it.
            entries.append(
                CacheEntry(
                    own,
                    size,
                    whole.born,
                    whole.first + start,
                    label,
                    positions[:, start : start + size].clone(),
                    frozenset(ids[start : start + size]),
                )
            )
            start += size
        self._set([*self.entries[:-1], *entries])

    def drop(self, entries: Iterable[CacheEntry]) -> None:
        """Forget entries; their slots are taken again once no reader that saw them is open."""
        self._clock += 1
        gone = set(entries)
        self._held.extend((entry, self._clock) for entry in self.entries if entry in gone)
        self._ring.put(span for entry in self.entries if entry in gone for span in entry.spans)
        self._set([entry for entry in self.entries if entry not in gone])

    def pin(self, reader: Reader) -> Spans:
        """Hold what is cached now for a reader that begins; return the slots."""
        self._clock += 1
        reader.opened = self._clock
        self._readers.add(reader)
        return self.spans

    def content(self, layer: int) -> KeysValues:
        """Return keys and values [kv_heads, length, head_dim] in the order of the entries."""
        views = self.buffer.views(
            layer, tuple(span for entry in self.entries for span in entry.spans)
        )
        if not views:
            return self.keys[layer][:, :0], self.values[layer][:, :0]
        keys, values = zip(*views)
        return torch.cat(keys, dim=1), torch.cat(values, dim=1)

    def fill(self, content: Sequence[KeysValues], entries: Sequence[CacheEntry]) -> None:
        """Put a copy of another cache's content into this one, which is empty.

        The slots stay the same where this cache has them, so that sums over them are rounded the
        same; otherwise the first are taken.

        Args:
            content: for every layer, keys and values in the order of the entries.
            entries: what they are.

        Raises:
            StreamError: OUT_OF_MEMORY; nothing was changed.

        """
        tokens = sum(entry.tokens for entry in entries)
        self.reserve(tokens)
        spans = tuple(span for entry in entries for span in entry.spans)
        if any(end > self.capacity for _, end in spans):
            spans = self._next
        self._next = spans
        for layer, (keys, values) in enumerate(content):
            self.store(layer, keys, values)
        self._next = ()
        self._ring.take(spans)
        copies = []
        for entry in entries:
            own, spans = cut(spans, entry.tokens)
            self._clock += 1
            copies.append(dataclasses.replace(entry, spans=own, born=self._clock))
            self.taken = entry.first + entry.tokens
        self._set(copies)

    def _set(self, entries: list[CacheEntry]) -> None:
        self.entries = tuple(entries)
        self.spans = complement(self._ring.free, self.capacity)
        self.length = count(self.spans)
        self.oldest_patch: EntryInfo | None = next(
            (entry.info for entry in entries if entry.info.kind is EntryKind.PATCH), None
        )

    def _following(self, tokens: int, dropped: set[CacheEntry]) -> Spans:
        """Return the slots of the next tokens if some entries were dropped."""
        left = (
            [entry for entry in self.entries if entry not in dropped] if dropped else self.entries
        )
        return self._ring.following(
            _end_of(left), tokens, tuple(span for entry in dropped for span in entry.spans)
        )

    def _reclaim(self) -> None:
        """Forget what was dropped and no open reader sees any more."""
        if self._held:
            opened = [reader.opened for reader in self.readers]
            self._held = [
                (entry, dropped)
                for entry, dropped in self._held
                if any(entry.born < moment < dropped for moment in opened)
            ]


def _end_of(entries: Sequence[CacheEntry]) -> int:
    """Return the slot after the newest token's; 0 if nothing is cached."""
    return entries[-1].spans[-1][1] if entries else 0
