# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What branches see: the stream as it was when they were opened, and their own tails."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, SequenceMetadata
from streamvlm_ros.engine.kvcache.tail import Tail
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
    """A KV context: everything sees the prefix, new tokens go to the tail.

    Until it is closed or garbage, the slots of the prefix are not written again, even when the
    stream has evicted what is in them.

    Attributes:
        prefix: the slots that are seen, disjoint and ascending; the same for branches that see
            the same of one stream.
        opened: the cache's clock when it was opened.
        open: whether the prefix is held.
        tail: the branch's own keys and values.
        tree: which tokens of the next prefill each one sees; None: causal.

    """

    def __init__(self, stream: StreamCache, tail: Tail) -> None:
        """See what is in the stream's cache now, and hold it until ``close``."""
        self._buffer = stream.buffer
        self.opened, self.open, self._revoked = 0, True, False
        self.prefix = stream.pin(self)
        self.tail = tail
        self.tree: Tree | None = None

    @property
    def buffer(self) -> KVBuffer:
        """Where the prefix is.

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
        return self._buffer

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

    def reserve(self, tokens: int) -> None:
        """Make room in the tail."""
        self.tail.reserve(tokens)

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Store in the tail; attend to the prefix and the tail."""
        query, keys, values = rotation.split(qkv, self.tail.kv_heads)
        own = self.tail.write(layer, keys, values)
        tree = self.tree or Tree.causal(keys.shape[1])
        return join_heads(attend(query, [*self.seen(layer), (*own, tree)]))

    def table(self, tokens: int) -> SequenceMetadata | None:
        """See ``KVContext.table``."""
        tail = self.tail
        return SequenceMetadata.of(
            [(self.buffer, self.prefix), (tail.buffer, ((0, tail.length),))],
            tail.buffer,
            ((tail.length, tail.length + tokens),),
            self.tree,
        )

    def advance(self, tokens: int) -> None:
        """Make what was written part of the tail."""
        self.tail.advance(tokens)

    def seen(self, layer: int) -> list[Piece]:
        """Return the prefix, read in place; empty if the stream was."""
        return [(*piece, None) for piece in self.buffer.views(layer, self.prefix)]


class BatchContext:
    """A KV context of several branches, of any streams, with one new token each, in their order.

    Each token sees its own branch only.  Branches with the same prefix
    attend to it in one call.
    """

    def __init__(self, branches: Sequence[BranchContext]) -> None:
        """Take the branches."""
        self._branches = branches
        groups: dict[tuple[int, Spans], list[int]] = {}
        for index, branch in enumerate(branches):
            groups.setdefault((id(branch.buffer), branch.prefix), []).append(index)
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
        for group in self._groups:
            seen = self._branches[group[0]].seen(layer)
            if seen:
                prefix = attend_partly(query[:, group], seen)
                result[:, group] = merge((result[:, group], lse[:, group]), prefix)[0]
        return join_heads(result.to(query.dtype))

    def table(self, tokens: int) -> BatchMetadata | None:
        """See ``KVContext.table``."""
        return BatchMetadata.of(
            [
                ((self._branches[group[0]].buffer, self._branches[group[0]].prefix), group)
                for group in self._groups
            ],
            [(branch.tail.buffer, branch.tail.length) for branch in self._branches],
        )

    def advance(self, tokens: int) -> None:
        """Make what was written part of the tails."""
        for branch in self._branches:
            branch.advance(1)
