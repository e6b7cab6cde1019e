# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What one stream is set to; fixed for its life."""

from __future__ import annotations

import dataclasses
import math
from typing import get_args, Literal

from streamvlm_ros import checks
from streamvlm_ros.engine.errors import ErrorCode, StreamError

PositionMode = Literal['continuous', 'append']
TimeSource = Literal['stamp', 'uniform']
Device = Literal['auto', 'cpu', 'cuda', 'balanced']  # besides 'cuda:N'
Dtype = Literal['auto', 'float32', 'bfloat16', 'float16']
Quantization = Literal['none', 'int8', 'int4']

CHUNK_FRAMES = (2, 4, 6, 8)
POSITION_MODES: tuple[PositionMode, ...] = get_args(PositionMode)
TIME_SOURCES: tuple[TimeSource, ...] = get_args(TimeSource)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
DEFAULT_CAPACITY = 16384  # tokens
MAX_BATCH = 16  # answers in one pass, of all streams; GPUs have no graphs of larger batches
LARGEST_NOW = 1280 * 720  # pixels of a view's frames, where no setting says it
LOWEST_RATE = 0.001  # Hz, of sample_rate unless it is 0: a frame in 17 minutes


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """Settings of one stream.

    Attributes:
        chunk_frames: frames that are encoded and prefilled together: 2, 4, 6 or 8.
        position_mode: ``continuous`` (all chunks are one video, lossless) or ``append``
            (every chunk is a video of its own).
        time_source: ``stamp`` (time from the frames' stamps) or ``uniform`` (from sample_rate).
        sample_rate: frames per second of stream time, or of arrival where time_source is uniform:
            at least 0.001, or 0, which takes every frame.
        min_pixels: lower bound of height x width after resizing; 0: the model's own.
        max_pixels: upper bound of height x width after resizing; 0: the model's own.
        system_prompt: system turn; empty: the chat template's default.
        capacity: tokens that the KV cache has room for, unless memory_tokens or memory_bytes says
            it.  What is full lets the oldest temporal patches go.
        memory_seconds: keep no more than the newest so many seconds, by the frames' times, of what
            there is room for; 0: all.
        memory_tokens: make room to keep so many tokens; 0: see capacity.
        memory_bytes: make the cache so large, all layers together; 0: see capacity.
        slack: one slot in so many is not for keeping: new frames go there while open answers still
            read what was dropped.  2 doubles the memory for a stream that never waits for an
            answer that is no longer than what is kept.
        kept_turns: newest questions and answers kept by update_state that stay when frames go.
        rebase_position: largest position before positions are counted anew from what is kept; 0:
            three quarters of what the model was trained on.
        late_tolerance: a frame whose stamp is older than the newest by less than these seconds is
            left out and counted as late; an older one begins a new epoch.
        max_gap: a stamp that is further ahead of the newest than these seconds (and than 10 sample
            periods) waits until a second one confirms it.
        every_frame: where time_source is uniform, take every frame that arrives; False samples
            them by arrival.
        max_question_tokens: most tokens of a question, its choices included.
        max_watch_tokens: most tokens of all watches together, which every chunk pays for.
        max_system_tokens: most tokens of the system prompt.
        max_frame_id: most characters of a frame_id.
        max_image_pixels: most pixels of a frame before it is resized.
        skip_static: temporal patches that differ from the last kept one by no more than this are
            not taken into the cache; as ``static_filter.difference`` measures it.  0 keeps
            every patch.
        now_frames: newest frames that a view of now has.
        now_max_pixels: upper bound of height x width of these; 0: as large as they came, at most
            1280 x 720 or what the model or ``max_pixels`` allow.
        view_frames: most frames of a span, an even number: pairs of neighbours.
        view_tokens: tokens that a view's frames have room for; 0: what these settings need.
        open_views: views that are open at once, for which room is allocated; 0: there are none.
        view_ring_bytes: newest frames that are kept as they came, for views; 0: none.

    Raises:
        StreamError: INVALID_REQUEST when a value is out of range, or of another type.

    """

    chunk_frames: int = 4
    position_mode: PositionMode = 'continuous'
    time_source: TimeSource = 'stamp'
    sample_rate: float = 2.0
    min_pixels: int = 0
    max_pixels: int = 0
    system_prompt: str = ''
    capacity: int = DEFAULT_CAPACITY
    memory_seconds: float = 0.0
    memory_tokens: int = 0
    memory_bytes: int = 0
    slack: int = 8
    kept_turns: int = 8
    rebase_position: int = 0
    late_tolerance: float = 1.0
    max_gap: float = 3600.0
    every_frame: bool = False
    max_question_tokens: int = 2048
    max_watch_tokens: int = 2048
    max_system_tokens: int = 2048
    max_frame_id: int = 255
    max_image_pixels: int = 1 << 26
    skip_static: float = 0.0
    now_frames: int = 4
    now_max_pixels: int = 0
    view_frames: int = 16
    view_tokens: int = 0
    open_views: int = 2
    view_ring_bytes: int = 1 << 27

    def __post_init__(self) -> None:
        """Refuse values that the stream cannot work with."""
        for field in dataclasses.fields(self):
            value = checks.OF_TYPE[type(field.default)](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        self._one_of('chunk_frames', CHUNK_FRAMES)
        self._one_of('position_mode', POSITION_MODES)
        self._one_of('time_source', TIME_SOURCES)
        check_sample_rate(self.sample_rate, self.time_source)
        if not 0 <= self.late_tolerance < math.inf:
            self._refuse(f'late_tolerance is {self.late_tolerance} s; give 0 or more.')
        if not 0 < self.max_gap < math.inf:
            self._refuse(f'max_gap is {self.max_gap} s; give more than 0.')
        for name in ('max_frame_id', 'max_image_pixels'):
            if getattr(self, name) < 1:
                self._refuse(f'{name} is {getattr(self, name)}; give at least 1.')
        for name in (
            'min_pixels',
            'max_pixels',
            'skip_static',
            'memory_seconds',
            'memory_tokens',
            'memory_bytes',
            'rebase_position',
            'now_max_pixels',
            'view_tokens',
            'open_views',
            'view_ring_bytes',
        ):
            if not 0 <= getattr(self, name) < math.inf:
                self._refuse(f'{name} is {getattr(self, name)}; give 0 or more.')
        if self.capacity < 1:
            self._refuse(f'capacity is {self.capacity} tokens; give at least 1.')
        budgets = ('memory_seconds', 'memory_tokens', 'memory_bytes')
        if sum(getattr(self, name) > 0 for name in budgets) > 1:
            self._refuse(f'Only one of {", ".join(budgets)} can be set; leave the others 0.')
        if self.slack < 2:
            self._refuse(f'slack is {self.slack}; give at least 2, one slot in two.')
        if self.kept_turns < 1:
            self._refuse(f'kept_turns is {self.kept_turns}; give at least 1.')
        for name in ('max_pixels', 'now_max_pixels'):
            if 0 < getattr(self, name) < self.min_pixels:
                largest = getattr(self, name)
                self._refuse(f'min_pixels {self.min_pixels} is above {name} {largest}.')
        if self.now_frames < 1:
            self._refuse(f'now_frames is {self.now_frames}; give at least 1.')
        if self.view_frames < 2 or self.view_frames % 2:
            self._refuse(f'view_frames is {self.view_frames}; give an even number, 2 or more.')

    def _one_of(self, name: str, allowed: tuple) -> None:
        if getattr(self, name) not in allowed:
            choices = ', '.join(map(str, allowed))
            self._refuse(f'{name} is {getattr(self, name)!r}; choose one of {choices}.')

    def _refuse(self, message: str) -> None:
        raise StreamError(ErrorCode.INVALID_REQUEST, message)


def check_sample_rate(rate: float, time_source: str) -> None:
    """Refuse a sample rate that the stream cannot work with.

    Raises:
        StreamError: INVALID_REQUEST.

    """
    rate = checks.number('sample_rate', rate)
    if not (rate == 0 or LOWEST_RATE <= rate < float('inf')):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'sample_rate is {rate} Hz; give 0 (every frame) or at least {LOWEST_RATE} Hz.',
        )
    if time_source == 'uniform' and not rate:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            'sample_rate is 0 Hz, and time_source uniform needs it above 0: frames '
            'are 1 / sample_rate seconds apart. To take every frame set '
            'every_frame.',
        )
