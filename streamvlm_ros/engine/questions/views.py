# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a question looks at: frames that are read afresh for it, and the evidence of its answer."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocation import check_fits
from streamvlm_ros.engine.kvcache.view_room import FreshPrefix, ViewRoom
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.models.view_size import now_pixels, span_pixels, view_tokens
from streamvlm_ros.engine.questions.branch import PIECE
from streamvlm_ros.engine.questions.fresh_frames import FreshFrames, Shot, shots_of
from streamvlm_ros.engine.questions.sequence import memory_evidence
from streamvlm_ros.engine.stream.frames import Frame, FrameSource
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.stamps import NANOSECONDS
from streamvlm_ros.view import Evidence, View

# A longer span is not one video: its patches would leave the range of times that the model knows.
LONGEST_VIDEO = 60 * NANOSECONDS


class Views:
    """Finds the frames of views of one stream, and keeps places for them.

    Attributes:
        room: places for the views of questions that are open at once.
        watch_room: one place for the watches; None: no watch has fresh frames.
        store: frames that are older than those in memory; None: there are none.

    """

    def __init__(
        self,
        model: StreamingModel,
        prompt: Prompt,
        stream: FrameStream,
        pixels: ImageProcessorConfig,
        settings: StreamSettings,
    ) -> None:
        """Allocate the places; ``pixels`` is the model's own preprocessing."""
        self._model, self._prompt = model, prompt
        self._stream, self._settings = stream, settings
        self._pixels = {
            'now': now_pixels(settings, pixels),
            'memory_and_now': now_pixels(settings, pixels),
            'span': span_pixels(settings, pixels),
        }
        self.tokens = view_tokens(settings, pixels, prompt)
        self.room = model.new_view_room(settings.open_views, self.tokens)
        self.watch_room: ViewRoom | None = None
        self.store: FrameSource | None = None

    @property
    def full(self) -> bool:
        """Whether a view can only be opened when another one is closed."""
        return bool(self.room.places) and not self.room.free

    def evidence(self, view: View, frames: Sequence[Frame]) -> Evidence:
        """Return what an answer rests on for which frames are read afresh."""
        stamps = [frame.stamp_ns for frame in frames]
        height, width = self._pixels[view.name].resized(*frames[-1].size)
        evidence = Evidence(
            view=view.name,
            exact=True,
            first_stamp_ns=min(stamps),
            last_stamp_ns=max(stamps),
            frames=len(frames),
            stamps_ns=tuple(stamps),
            height=height,
            width=width,
        )
        if not view.has_memory:
            return evidence
        memory = memory_evidence(self._stream)
        return dataclasses.replace(
            evidence,
            exact=memory.exact,
            first_stamp_ns=min(memory.first_stamp_ns, evidence.first_stamp_ns),
            last_stamp_ns=memory.last_stamp_ns,
            frames=max(memory.frames, evidence.frames),
        )

    def look(self, view: View, keep_images: bool = False) -> FreshFrames:
        """Choose the frames of a view, which are then fixed.

        Args:
            view: one that has fresh frames.
            keep_images: whether they are wanted as the model saw them.

        Raises:
            StreamError: NO_FRAMES; none has come.  INVALID_REQUEST; they are not kept any more,
                or there is no room for views.  OUT_OF_MEMORY; they take more tokens than a view
                has room for.

        """
        stream = self._stream
        self._check_places(view)
        if stream.newest is None:
            raise StreamError(
                ErrorCode.NO_FRAMES, 'No frame has come in yet; check the camera topic, or wait.'
            )
        frames = self._span(view) if view.name == 'span' else self._newest()
        pixels = self._pixels[view.name]
        waiting = stream.waiting_chunk() if view.has_memory else None
        place, began_ns = Place.NOTHING, frames[0].time_ns
        if view.has_memory:
            place = waiting.place if waiting else stream.place
            entries = stream.cache.entries
            if entries:
                began_ns = entries[0].info.time_ns
            elif stream.pending:
                began_ns = stream.pending[0].time_ns
        piece = max(PIECE, self._chunk_tokens(frames[-1].size))
        timed = not view.has_memory and frames[-1].time_ns - frames[0].time_ns > LONGEST_VIDEO
        return FreshFrames(
            frames,
            Shot.of_chunk(waiting) if waiting else None,
            stream.skipped_ns if view.has_memory else None,
            list(shots_of(frames, self._prompt, pixels, place, began_ns, timed, piece)),
            pixels,
            piece,
            keep_images,
        )

    def watch_place(self) -> FreshPrefix:
        """Take the place of the watches; ``check_watch`` has made it."""
        assert self.watch_room is not None
        return self.watch_room.take()

    def _chunk_tokens(self, size: tuple[int, int]) -> int:
        """Return the tokens of a chunk of the stream; of frames of a size, if none is cached."""
        stream = self._stream
        grid = grid_of(stream.size or size, self._settings.chunk_frames, stream.pixels)
        return math.prod(grid)

    def check_watch(self, view: View) -> int:
        """Return how many tokens of frames a watch on a view costs after every chunk.

        They are counted by the size of the newest frame, or at most.  The first such watch takes
        a place for itself, so that open questions never keep watches from being scored.

        Raises:
            StreamError: INVALID_REQUEST; the view never changes, or there is no room for views.
                OUT_OF_MEMORY; the device has none for the watches' place.

        """
        if not view.has_fresh_frames:
            return 0
        self._check_places(view)
        if view.until_ns:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The span of the watch ends at {_seconds(view.until_ns)}, so its answer would '
                'never change; leave until 0, or ask it once.',
            )
        if self.watch_room is None:
            model = self._model
            check_fits([self.tokens], model.layer_bytes, model.layer_devices)
            self.watch_room = model.new_view_room(1, self.tokens)
        settings, pixels = self._settings, self._pixels[view.name]
        count = settings.view_frames if view.name == 'span' else settings.now_frames
        newest = self._stream.recent.newest()
        if newest:
            return math.prod(grid_of(newest[0].size, count, pixels))
        return -(-count // pixels.temporal_patch_size) * pixels.most_tokens

    def _check_places(self, view: View) -> None:
        if not self.room.places:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The view is {view.name!r}, and open_views is 0: there is room for the view '
                "'memory' only; raise open_views.",
            )

    def _newest(self) -> list[Frame]:
        """Return the newest frames."""
        recent, count = self._stream.recent, self._settings.now_frames
        kept = recent.newest(count)
        if len(kept) < count and recent.has_lost:
            since = f', since {_seconds(kept[0].stamp_ns)}' if kept else ''
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The view has the newest {count} frames, and {len(kept)} are kept as they '
                f'came{since}; wait for more, or raise view_ring_bytes (now '
                f'{self._settings.view_ring_bytes}).',
            )
        return _copies(kept)

    def _span(self, view: View) -> list[Frame]:
        """Return the frames of a span: evenly thinned pairs of neighbours."""
        recent, begins, ends = self._stream.recent, view.since_ns, view.until_ns
        count, first = self._settings.view_frames, recent.oldest_stamp_ns
        # The disk is not asked for what is in memory.
        store = self.store if first is None or begins < first else None
        stored = store.oldest_stamp_ns if store is not None else None
        if store is None or stored is None or (first is not None and stored >= first):
            oldest, has_lost = first, recent.has_lost
            found = _copies(recent.span(begins, ends, count))
        else:
            oldest, has_lost = stored, store.has_lost
            found = _frames(self._joined(store, max(begins, stored), ends, count))
        if oldest is None:
            return self._newest()  # says why there is none
        newest = max([each.stamp_ns for each in recent.newest()], default=oldest)
        kept = f'frames are kept from {_seconds(oldest)} to {_seconds(newest)}'
        if begins and begins < oldest and has_lost:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The span begins at {_seconds(begins)}, but {kept}; ask for a later one, or '
                'raise view_ring_bytes.',
            )
        if not found:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The span from {_seconds(max(begins, oldest))} to {_seconds(ends or newest)} has '
                f'no frame; {kept}.',
            )
        return found

    def _joined(
        self, store: FrameSource, since: int, until: int, count: int
    ) -> list[tuple[int, np.ndarray]]:
        """Return frames of a span that begins in the store; it may end in memory.

        The store may not have written the newest ones yet.  Each side has pairs of frames in
        proportion to its time.
        """
        recent = self._stream.recent
        first = recent.oldest_stamp_ns
        newer = [] if first is None else recent.frames(first, until, count)
        if first is None or not newer:
            return store.frames(since, until, count)
        share = (newer[-1][0] - first) / max(1, newer[-1][0] - since)
        pairs = count // 2
        most = 2 * min(max(1, round(pairs * share)), pairs)
        # Without its last pair, which is next to the first one in memory.
        rest = count - most
        older = store.frames(since, first - 1, rest + 2)[:rest] if rest else []
        return [*older, *recent.frames(first, until, count - len(older))]


def _copies(frames: Sequence[Frame]) -> list[Frame]:
    """Return frames of their own, which are uploaded at another size than the stream's."""
    return [Frame(frame.image, frame.stamp_ns, frame.time_ns) for frame in frames]


def _frames(found: Sequence[tuple[int, np.ndarray]]) -> list[Frame]:
    """Return frames with the times of their stamps, which never go back."""
    frames, time_ns = [], 0
    for stamp_ns, image in found:
        time_ns = max(time_ns, stamp_ns)
        frames.append(Frame(image, stamp_ns, time_ns))
    return frames


def _seconds(stamp_ns: int) -> str:
    """Return a stamp for a sentence."""
    return f'{stamp_ns / NANOSECONDS:.3f} s'
