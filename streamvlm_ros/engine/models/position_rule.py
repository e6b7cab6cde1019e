# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The position rule of a model family: three axes, T, H and W (M-RoPE, arXiv 2409.12191).

Common to all families: text stands at consecutive positions, alike on all three axes, after the
largest position before it.  A temporal patch's rows and columns count from the origin of its
vision segment, which is the position that a text token would have there.  How far T goes within
a segment, and how positions move when old tokens are gone, is for the family to say.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
from typing import Protocol

import torch

from streamvlm_ros.engine.kvcache.rebase import RebasePlan
from streamvlm_ros.engine.positions import Segment, StreamState, VideoSpan


class PatchTime(Protocol):
    """How a family's T axis goes within a vision segment."""

    def steps(self, segment: Segment, time_ns: int) -> int:
        """Return how far after the segment's origin a temporal patch of a time stands in T."""

    def can_follow(self, elapsed_ns: int, steps: int) -> bool:
        """Tell whether T can differ by ``steps`` between neighbours in one vision segment.

        A saved stream is checked by it.

        Args:
            elapsed_ns: from the one temporal patch's time to the next one's.
            steps: from the one's T to the next one's.

        """


class PositionRule:
    """Positions of what is prefilled next.

    Attributes:
        time: how T goes within a vision segment.
        rebase_plan: says where every entry goes when positions are counted anew from what is
            kept: it takes what is cached (at least one entry, in the order in which they came)
            and the position state after it, and returns a move for every entry and the new state.

    """

    def __init__(self, video_token_id: int, time: PatchTime, rebase_plan: RebasePlan) -> None:
        """Take a family's parts of the rule, and the id of its video token."""
        self._video_token_id = video_token_id
        self.time = time
        self.rebase_plan = rebase_plan

    def is_video(self, ids: Sequence[int]) -> torch.Tensor:
        """Return bool [len(ids)]: which tokens are video tokens."""
        return torch.tensor(ids, dtype=torch.long) == self._video_token_id

    def place(
        self,
        state: StreamState,
        ids: Sequence[int],
        parts: Sequence[VideoSpan] = (),
    ) -> tuple[torch.Tensor, StreamState]:
        """Place tokens after a state.

        Args:
            state: the stream before them.
            ids: token ids; runs of video tokens belong to ``parts`` in their order.
            parts: one for each grid among the tokens.

        Returns:
            Positions, int64 [3, len(ids)] in the order T, H, W, and the state after them.

        Raises:
            ValueError: when video tokens and grids do not match, or a video's time runs backwards.

        """
        if state.length and len(ids) == 1 and not parts and ids[0] != self._video_token_id:
            return self.decode(state)
        blocks = []
        last, segment = state.last_cache_position, state.segment
        waiting = list(parts)
        index = 0
        while index < len(ids):
            if ids[index] == self._video_token_id:
                if not waiting:
                    raise ValueError(f'Token {index} is a video token without a grid.')
                part = waiting.pop(0)
                tokens = math.prod(part.grid)
                run = list(ids[index : index + tokens])
                if len(run) != tokens or any(i != self._video_token_id for i in run):
                    raise ValueError(
                        f'The grid {part.grid} has {tokens} tokens; '
                        'the prompt has fewer video tokens in a row there.'
                    )
                block, segment = self._video(last, segment, part)
            else:
                run = [ids[index]]
                while (
                    index + len(run) < len(ids) and ids[index + len(run)] != self._video_token_id
                ):
                    run.append(ids[index + len(run)])
                block = torch.arange(last + 1, last + 1 + len(run)).expand(3, -1)
                segment = None
            blocks.append(block)
            # The largest over all three axes: after a wide, short clip that is not T's.
            last = max(last, int(block.max()))
            index += len(run)
        if waiting:
            raise ValueError(f'{len(waiting)} video grids have no video tokens in the prompt.')
        positions = torch.cat(blocks, dim=1) if blocks else torch.empty(3, 0, dtype=torch.long)
        return positions, StreamState(state.length + len(ids), last, segment)

    def pass_time(self, state: StreamState, time_ns: int) -> StreamState:
        """Let time pass in the open vision segment without a token.

        What comes next stands where it would stand after a temporal patch of that time.  Where
        no segment is open, or its time is past that already, the state stays as it is.
        """
        segment = state.segment
        if segment is None or time_ns <= segment.last_ns:
            return state
        steps = self.time.steps(segment, time_ns)
        return dataclasses.replace(
            state,
            last_cache_position=max(state.last_cache_position, segment.origin + steps),
            segment=dataclasses.replace(segment, last_ns=time_ns),
        )

    @staticmethod
    def decode(state: StreamState) -> tuple[torch.Tensor, StreamState]:
        """Place one token of an answer after a state, whatever token it is."""
        position = state.last_cache_position + 1
        return (torch.full((3, 1), position), StreamState(state.length + 1, position))

    def _video(
        self,
        last: int,
        segment: Segment | None,
        part: VideoSpan,
    ) -> tuple[torch.Tensor, Segment]:
        grid, times = part.grid, part.times_ns
        if len(times) != grid.t:
            raise ValueError(f'{grid.t} temporal patches need as many times, not {len(times)}.')
        if segment is None:
            segment = Segment(last + 1, times[0], times[0], grid.h, grid.w)
        elif (grid.h, grid.w) != (segment.rows, segment.columns):
            raise ValueError(
                f'The open segment is {segment.rows}x{segment.columns} tokens, not '
                f'{grid.h}x{grid.w}; close it before a new size.'
            )
        if any(b < a for a, b in zip((segment.last_ns, *times), times)):
            raise ValueError('The times of the temporal patches run backwards.')
        steps = [self.time.steps(segment, time_ns) for time_ns in times]
        block = torch.empty(3, grid.t, grid.h, grid.w, dtype=torch.long)
        block[0] = torch.tensor(steps)[:, None, None]
        block[1] = torch.arange(grid.h)[:, None]
        block[2] = torch.arange(grid.w)
        return (
            segment.origin + block.view(3, -1),
            dataclasses.replace(segment, last_ns=times[-1]),
        )
