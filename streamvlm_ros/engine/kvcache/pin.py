# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A reader's reference to what was cached when it began to read."""

from __future__ import annotations

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.ops.attention import KeysValues


class Pin:
    """A reference to what was cached at one moment, for a branch that reads it in place.

    Until the pin is closed or garbage, its slots are not written again, even when the stream has
    evicted what is in them.

    Attributes:
        opened: the cache's clock when it was made.
        spans: the slots, disjoint and ascending.
        buffer: what they are slots of.
        open: whether its slots are held.

    """

    def __init__(self, buffer: KVBuffer, spans: Spans, opened: int) -> None:
        """Hold slots; ``StreamCache.pin`` makes it."""
        self.buffer = buffer
        self.spans = spans
        self.opened = opened
        self.open = True
        self._revoked = False

    def check(self) -> None:
        """Refuse to read slots that are not held any more.

        Raises:
            StreamError: RESET_DURING_ANSWER when the stream was emptied meanwhile.
            RuntimeError: the pin is closed.

        """
        if self._revoked:
            raise StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.',
            )
        if not self.open:
            raise RuntimeError('What the branch read is not held any more; open a new branch.')

    def pieces(self, layer: int) -> list[KeysValues]:
        """Return keys and values [kv_heads, s, head_dim], span by span, not copied.

        Raises:
            StreamError, RuntimeError: as ``check``.

        """
        self.check()
        return self.buffer.views(layer, self.spans)

    def close(self) -> None:
        """Release the slots; may be called again."""
        self.open = False

    def revoke(self) -> None:
        """Close it because the cache was emptied."""
        self._revoked = self._revoked or self.open
        self.close()
