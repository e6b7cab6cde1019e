# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A reader's hold on what was cached when it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.ops.attention import KeysValues

if TYPE_CHECKING:
    from streamvlm_ros.engine.kvcache.cache import StreamCache


class Pin:
    """What was cached at one moment, for a branch that reads it in place.

    Until it is closed, or nobody has it any more, its slots are given to nobody else, even when
    the stream has forgotten what is in them.

    Attributes:
        opened: the cache's clock then.
        spans: the slots, disjoint and ascending.
        buffer: what they are slots of.

    """

    def __init__(self, cache: StreamCache, opened: int) -> None:
        """Made by ``StreamCache.pin``."""
        self._cache: StreamCache | None = cache
        self._revoked = False
        self.opened = opened
        self.spans = cache.spans
        self.buffer = cache.buffer

    def check(self) -> None:
        """Refuse a reader whose slots are not held any more.

        Raises:
            StreamError: RESET_DURING_ANSWER when the stream was emptied meanwhile.
            RuntimeError: the pin is closed.

        """
        if self._revoked:
            raise StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.',
            )
        if self._cache is None:
            raise RuntimeError('What the branch read is not held any more; open a new branch.')

    def pieces(self, layer: int) -> list[KeysValues]:
        """Return keys and values [kv_heads, s, head_dim], span by span, not copied.

        Raises:
            StreamError, RuntimeError: as ``check``.

        """
        self.check()
        assert self._cache is not None
        return self._cache.views(layer, self.spans)

    @property
    def open(self) -> bool:
        """Whether its slots are held."""
        return self._cache is not None

    def close(self) -> None:
        """Let the slots go; may be called again."""
        self._cache = None

    def revoke(self) -> None:
        """Close it because what it saw is gone."""
        self._revoked = self._revoked or self.open
        self.close()
