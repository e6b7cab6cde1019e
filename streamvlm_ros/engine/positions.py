# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""M-RoPE positions of a stream: integers only, decided by the state and not by the caller.

The rule is that of Qwen2.5-VL's own training code (``get_rope_index_25`` of qwen-vl-finetune),
not that of transformers, which cuts the seconds per grid to an integer and starts the text after
a video inside the video's own time span. See DESIGN section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from fractions import Fraction

import torch

NANOSECONDS = 10**9


@dataclasses.dataclass(frozen=True)
class Grid:
    """A video's merged token grid: temporal patches, rows, columns."""

    t: int
    h: int
    w: int

    @property
    def tokens(self) -> int:
        """Tokens that the grid takes in the prompt."""
        return self.t * self.h * self.w


@dataclasses.dataclass(frozen=True)
class VideoSpan:
    """Temporal patches that are prefilled together.

    Attributes:
        grid: the merged token grid.
        times_ns: time of every temporal patch (its first frame's), on any clock.

    """

    grid: Grid
    times_ns: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Segment:
    """The vision segment that is open at the end of the cache.

    Attributes:
        origin: where its rows and columns begin.
        start_ns: time of its first temporal patch.
        last_ns: time of its newest one.
        rows: of its token grid.
        columns: of its token grid.
        rebased: how far re-basing has moved its T back, beyond its origin.

    """

    origin: int
    start_ns: int
    last_ns: int
    rows: int
    columns: int
    rebased: int = 0


@dataclasses.dataclass(frozen=True)
class StreamState:
    """Where a stream stands: everything that positions depend on.

    Attributes:
        length: tokens in the cache.
        last_cache_position: largest position over all three axes; -1 when nothing is cached.
        segment: the open vision segment, when the last cached token is a video token.

    """

    length: int = 0
    last_cache_position: int = -1
    segment: Segment | None = None

    @property
    def rope_deltas(self) -> int:
        """Next position minus next index, always of this state."""
        return self.last_cache_position + 1 - self.length


def video_steps(elapsed_ns: int, tokens_per_second: float) -> int:
    """Return floor(seconds x tokens_per_second), exactly."""
    rate = Fraction(tokens_per_second).limit_denominator(10**6)
    return elapsed_ns * rate.numerator // (NANOSECONDS * rate.denominator)


class PositionRule:
    """Positions of what is prefilled next, in the three branches of DESIGN section 3."""

    def __init__(self, video_token_id: int, tokens_per_second: float) -> None:
        """Take the id of ``<|video_pad|>`` and the T steps per second of video."""
        self._video_token_id = video_token_id
        self._tokens_per_second = tokens_per_second

    def is_video(self, ids: Sequence[int]) -> torch.Tensor:
        """Return bool [len(ids)]: which tokens are video tokens."""
        return torch.tensor(ids, dtype=torch.long) == self._video_token_id

    def place(
        self,
        state: StreamState,
        ids: Sequence[int],
        parts: Sequence[VideoSpan] = (),
    ) -> tuple[torch.Tensor, StreamState]:
        """Place tokens behind a state.

        Args:
            state: the stream before them (branch 1 when empty, else branch 2 or 3).
            ids: token ids; runs of ``<|video_pad|>`` belong to ``parts`` in their order.
            parts: one for each grid among the tokens.

        Returns:
            Positions, int64 [3, len(ids)] in the order T, H, W, and the state behind them.

        Raises:
            ValueError: when pads and grids do not match, or a video's time runs backwards.

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
                run = list(ids[index : index + part.grid.tokens])
                if len(run) != part.grid.tokens or any(i != self._video_token_id for i in run):
                    raise ValueError(
                        f'The grid {part.grid} has {part.grid.tokens} tokens; '
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

        What comes next stands where it would stand behind a temporal patch of that time.  Where
        no segment is open, or its time is past that already, the state stays as it is.
        """
        segment = state.segment
        if segment is None or time_ns <= segment.last_ns:
            return state
        steps = self._steps(segment, time_ns)
        return dataclasses.replace(
            state,
            last_cache_position=max(state.last_cache_position, segment.origin + steps),
            segment=dataclasses.replace(segment, last_ns=time_ns),
        )

    @staticmethod
    def decode(state: StreamState) -> tuple[torch.Tensor, StreamState]:
        """Place one token of an answer behind a state, whatever token it is."""
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
        steps = [self._steps(segment, time_ns) for time_ns in times]
        block = torch.empty(3, grid.t, grid.h, grid.w, dtype=torch.long)
        block[0] = torch.tensor(steps)[:, None, None]
        block[1] = torch.arange(grid.h)[:, None]
        block[2] = torch.arange(grid.w)
        return (
            segment.origin + block.view(3, -1),
            dataclasses.replace(segment, last_ns=times[-1]),
        )

    def _steps(self, segment: Segment, time_ns: int) -> int:
        """Return how far behind the segment's origin a time stands in T."""
        return video_steps(time_ns - segment.start_ns, self._tokens_per_second) - segment.rebased
