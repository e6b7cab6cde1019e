# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What branches see: the stream as it was when they were opened, fresh frames, their own tails."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, Seen, SequenceMetadata
from streamvlm_ros.engine.kvcache.tail import Tail
from streamvlm_ros.engine.kvcache.view_room import FreshPrefix
from streamvlm_ros.engine.ops.attention import (
    attend,
    attend_partly,
    join_heads,
    merge,
    Piece,
    Tree,
)
from streamvlm_ros.engine.ops.rotary import Rotation


class BranchContext:
    """A KV context: everything sees the prefixes, new tokens go to the tail.

    There may be two prefixes: what was cached of the stream, and the frames that a view reads
    afresh.  Until these are frozen, new tokens are theirs.

    Until it is closed or garbage, the slots of the prefixes are not written again, even when the
    stream has evicted what is in them.

    Attributes:
        prefix: the slots of the stream that are seen, disjoint and ascending; the same for
            branches that see the same of one stream; none if nothing of it is seen.
        fresh: the frames of a view; None: there are none.
        opened: the cache's clock when it was opened.
        open: whether the prefix is held.
        tail: the branch's own keys and values.
        tree: which tokens of the next prefill each one sees; None: causal.

    """

    def __init__(
        self, stream: StreamCache | None, tail: Tail, fresh: FreshPrefix | None = None
    ) -> None:
        """See what is in the stream's cache now, and hold it until ``close``.

        Args:
            stream: the stream's cache; None: nothing of it is seen or held.
            tail: for the branch's own tokens.
            fresh: where a view's frames go; ``close`` gives it back.

        """
        self._buffer = stream.buffer if stream is not None else None
        self.opened, self.open, self._revoked = 0, True, False
        self.prefix: Spans = stream.pin(self) if stream is not None else ()
        self.fresh, self.tail = fresh, tail
        self._target: FreshPrefix | Tail = tail if fresh is None else fresh
        self.tree: Tree | None = None

    @property
    def prefixes(self) -> tuple[Seen, ...]:
        """All that is seen besides the tail, read in place.

        Raises:
            StreamError: RESET_DURING_ANSWER; the stream was emptied since.
            RuntimeError: the prefix was released.

        """
        if self._revoked:
            raise StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.',
            )
        if not self.open:
            raise RuntimeError('What the branch read is not held any more; open a new branch.')
        stream = () if self._buffer is None else ((self._buffer, self.prefix),)
        fresh = () if self.fresh is None else ((self.fresh.buffer, self.fresh.spans),)
        return (*stream, *fresh)

    def freeze(self) -> None:
        """Close the fresh frames: what comes from now on goes to the tail."""
        self._target = self.tail

    def release_prefix(self) -> None:
        """Release what is held of the stream, which can then not be attended to any more."""
        self.open = False

    def revoke(self) -> None:
        """See ``Reader``."""
        self._revoked = self._revoked or self.open
        self.open = False

    def close(self) -> None:
        """Free the tail, and release what is held of the stream.  May be called again."""
        self.open = False
        self.tail.free()
        if self.fresh is not None:
            self.fresh.close()

    def reserve(self, tokens: int) -> None:
        """Make room in the tail, or see that it is there for fresh frames."""
        self._target.reserve(tokens)

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Store in the tail; attend to the prefixes and the tail."""
        target = self._target
        query, keys, values = rotation.split(qkv, target.kv_heads)
        own = target.write(layer, keys, values)
        tree = self.tree or Tree.causal(keys.shape[1])
        seen = pieces_of([each for each in self.prefixes if each[0] is not target.buffer], layer)
        return join_heads(attend(query, [*seen, (*own, tree)]))

    def table(self, tokens: int) -> SequenceMetadata | None:
        """See ``KVContext.table``."""
        tail, target = self.tail, self._target
        return SequenceMetadata.of(
            [*self.prefixes, (tail.buffer, ((0, tail.length),))],
            target.buffer,
            target.following(tokens),
            self.tree,
        )

    def advance(self, tokens: int) -> None:
        """Make what was written part of the tail, or of the fresh frames."""
        self._target.advance(tokens)


def pieces_of(seen: Sequence[Seen], layer: int) -> list[Piece]:
    """Return what is seen in a layer, not copied; empty if nothing is."""
    return [(*piece, None) for buffer, spans in seen for piece in buffer.views(layer, spans)]


class BatchContext:
    """A KV context of several branches, of any streams, with one new token each, in their order.

    Each token sees its own branch only.  Branches with the same prefixes attend to them in one
    call.
    """

    def __init__(self, branches: Sequence[BranchContext]) -> None:
        """Take the branches."""
        self._branches = branches
        groups: dict[tuple[tuple[int, Spans], ...], tuple[tuple[Seen, ...], list[int]]] = {}
        for index, branch in enumerate(branches):
            prefixes = branch.prefixes
            key = tuple((id(buffer), spans) for buffer, spans in prefixes)
            groups.setdefault(key, (prefixes, []))[1].append(index)
        self._groups = list(groups.values())

    def reserve(self, tokens: int) -> None:
        """Make room for a token in every tail."""
        for branch in self._branches:
            branch.reserve(1)

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Store each token in its tail, and attend; n is the branches."""
        query, keys, values = rotation.split(qkv, self._branches[0].tail.kv_heads)
        own = []
        for index, branch in enumerate(self._branches):
            one = slice(index, index + 1)
            tail = branch.tail.write(layer, keys[:, one], values[:, one])
            own.append(attend_partly(query[:, one], [(*tail, None)]))
        result = torch.cat([part for part, _ in own], dim=1)
        lse = torch.cat([part for _, part in own], dim=1)
        for prefixes, group in self._groups:
            seen = pieces_of(prefixes, layer)
            if seen:
                prefix = attend_partly(query[:, group], seen)
                result[:, group] = merge((result[:, group], lse[:, group]), prefix)[0]
        return join_heads(result.to(query.dtype))

    def table(self, tokens: int) -> BatchMetadata | None:
        """See ``KVContext.table``."""
        return BatchMetadata.of(
            self._groups,
            [(branch.tail.buffer, branch.tail.length) for branch in self._branches],
        )

    def advance(self, tokens: int) -> None:
        """Make what was written part of the tails."""
        for branch in self._branches:
            branch.advance(1)
