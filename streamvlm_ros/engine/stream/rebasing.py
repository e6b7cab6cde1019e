# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When a stream's positions are counted anew: they must stay in the model's trained range."""

from __future__ import annotations

from streamvlm_ros.engine.errors import ErrorCode, StillReadError
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.kvcache.rebase import apply
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.positions import StreamState


class Rebasing:
    """Re-bases the positions of one stream.

    Attributes:
        largest: the position above which they are counted anew before the next chunk.
        put_off: they have to be counted anew, as soon as no answer is open.
        damaged: the device failed while keys were rotated; only ``clear`` mends that.

    """

    def __init__(self, model: StreamingModel, memory: EvictionPolicy, largest: int) -> None:
        """Re-base what ``memory`` keeps, by the model's position rule and rotation."""
        self._model, self._memory = model, memory
        self.largest = largest
        self.clear()

    def clear(self) -> None:
        """Begin again with an empty cache."""
        self.put_off = self.damaged = False

    def run(self, state: StreamState) -> StreamState:
        """Count positions anew, and return the position state after that.

        Raises:
            StillReadError: BUSY; open answers read the keys, so it is put off.

        """
        self.put_off = self._memory.cache.pinned
        if self.put_off:
            raise StillReadError(
                ErrorCode.BUSY,
                'Positions have to be counted anew, which waits until the open answers have '
                'ended; then new frames are taken again. Ask for shorter answers.',
            )
        # Keys are rotated in place, so a fault while that is done leaves some of them wrong.
        damaged, self.damaged = self.damaged, True
        state = apply(
            self._memory,
            state,
            self._model.position_rule.rebase_plan,
            self._model.rotation,
            self.largest,
        )
        self.damaged = damaged  # counting anew a second time mends nothing
        return state
