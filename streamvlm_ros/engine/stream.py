# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream: frames in, chunks prefilled; what is cached and where the prompt stands."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

from streamvlm_ros.engine.ahead import Ahead
from streamvlm_ros.engine.budget import cache_slots, rebase_position
from streamvlm_ros.engine.chunks import ChunkEncoder, EncodedChunk
from streamvlm_ros.engine.frames import Frame, PixelSettings
from streamvlm_ros.engine.layout import turn_labels
from streamvlm_ros.engine.memory import StreamMemory
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.prompt import Place, Prompt
from streamvlm_ros.engine.rebase import settle
from streamvlm_ros.engine.settings import StreamSettings
from streamvlm_ros.engine.still import StillScenes
from streamvlm_ros.engine.tail import Tail


class FrameStream:
    """The frames' way into the cache.

    Attributes:
        cache: the stream's keys and values.
        state: its position state; the stream's own, so that streams can share a model.
        pending: frames that do not fill a chunk yet; what is left out as still is not among them.
        place: what the last cached token belongs to.
        memory: what decides which of the cached is kept.
        frames: frames that came since the stream began.
        newest: the last of them; None before any.
        epoch: number of the stream.
        seen: the newest frame that is behind us: in the cache, or left out as still.
        still: what leaves out temporal patches that show nothing new.
        pixels: the preprocessing, with the settings' bounds.
        paired: the newest frame that completed a pair.
        size: height and width of the frames that are newest in the cache.
        left_out: frames left out as still since ``flush``; a chunk fills with them too.
        skipped_ns: time of the newest patch left out since ``flush``.
        ahead: what is known of the next chunk while its frames still wait.

    """

    def __init__(self, model: StreamQwenModel, prompt: Prompt, pixels: PixelSettings,
                 settings: StreamSettings) -> None:
        """Allocate the cache."""
        self._model = model
        self._prompt = prompt
        self.pixels = dataclasses.replace(
            pixels, min_pixels=settings.min_pixels or min(
                pixels.min_pixels, settings.max_pixels or pixels.min_pixels),
            max_pixels=settings.max_pixels or pixels.max_pixels)
        self._settings = settings
        self.cache = model.new_cache(cache_slots(model, self.pixels, settings))
        self.memory = StreamMemory(self.cache, settings.memory_seconds, settings.kept_turns,
                                   settings.slack)
        self.ahead = Ahead(self, model, settings.chunk_frames)
        self._chunks = ChunkEncoder(model, prompt, self.pixels, self.memory, self.ahead,
                                    append=settings.position_mode == 'append')
        self._largest = rebase_position(model, settings)
        self.epoch = 0
        self.still = StillScenes(self.pixels, settings.skip_static, model.device)
        self.clear()

    def clear(self) -> None:
        """Forget everything; the buffers stay."""
        self.cache.clear()
        self.memory.clear()
        self.state = StreamState()
        self.pending: list[Frame] = []
        self.place = Place.NOTHING
        self.frames = 0
        self.newest: Frame | None = None
        self.seen: Frame | None = None
        self.paired: Frame | None = None
        self.still.kept = None
        self.ahead.forget()
        self.size: tuple[int, int] | None = None
        self.left_out = 0
        self.skipped_ns: int | None = None

    def append(self, frame: Frame) -> None:
        """Buffer a frame; prefill when a chunk is full or the image size changes.

        Raises:
            StreamError: OUT_OF_MEMORY when a chunk can never fit, or not while open answers read
                what was dropped; the frame was not taken, the stream is as it was.  The same holds
                for whatever else the device raises in the prefill, except that what had to go for
                the chunk may be gone.

        """
        if self.pending and frame.size != self.pending[-1].size:
            self.flush(complete=True)
        temporal = self.pixels.temporal_patch_size
        frame = dataclasses.replace(frame, number=self.frames,
                                    levels=self.ahead.levels(frame.image))
        before, self.pending = self.pending, [*self.pending, frame]
        left_out, skipped_ns, look = self.left_out, self.skipped_ns, None
        paired = self.paired
        try:
            if len(self.pending) % temporal == 0:
                self.paired = frame
                look = self.still.look(self.pending[-temporal:])
            if look is not None and look.still:
                self.skipped_ns = self.pending[-temporal].time_ns
                self.left_out += temporal
                del self.pending[-temporal:]
            elif look is not None or not self._settings.skip_static:
                # Half a patch may turn out to be still; then it needs no room.
                self.memory.check(self._chunks.tokens(
                    frame, len(self.pending), self.place, self.size))
            if len(self.pending) + self.left_out >= self._settings.chunk_frames:
                self.flush()
        except BaseException:
            self.pending, self.left_out, self.skipped_ns = before, left_out, skipped_ns
            self.paired = paired
            raise
        if look is not None:
            self.still.commit(look)
        self.frames += 1
        self.newest = frame

    def flush(self, complete: bool = False) -> None:
        """Prefill the pending whole pairs; ``complete`` repeats a last odd frame and takes it."""
        if self.state.last_cache_position > self._largest and not self.cache.pinned:
            self.state = settle(self.memory, self.state, self._model.rotation, self._largest)
        temporal = self.pixels.temporal_patch_size
        frames = self.pending[:len(self.pending) // temporal * temporal]
        left, look, paired = self.pending[len(frames):], None, self.paired
        if complete and left:
            look = self.still.look([left[-1], left[-1]])
            if look.still:
                self.skipped_ns = left[-1].time_ns
            else:
                frames = [*self.pending, left[-1]]
            paired = left[-1]
            left = []
        if frames:
            chunk = self.encode(frames)
            self._make_room(chunk, len(chunk.ids))
            positions, state = self._model.position_rule.place(
                self.state, chunk.ids, [chunk.part])
            self._model.extend(chunk.ids, positions, self.cache, chunk.video)
            self.cache.label(chunk.labels, positions)
            self.memory.segment = chunk.segment
            self.state = state
            self.place = chunk.place
            self.size = frames[-1].size
        if self.skipped_ns is not None:
            self.state = self._model.position_rule.pass_time(self.state, self.skipped_ns)
            self.skipped_ns = None
        if look is not None:
            self.still.commit(look)
        self.pending = left
        self.seen = self.paired = paired
        self.left_out = 0

    @property
    def oldest_stamp_ns(self) -> int:
        """Stamp of the oldest frame that is in memory or pending; 0 before any."""
        oldest = self.memory.oldest or next(iter(self.pending), self.newest)
        return oldest.stamp_ns if oldest else 0

    @property
    def frames_held(self) -> int:
        """Frames in memory or pending; those left out as still count with what they equal."""
        oldest = self.memory.oldest
        first = oldest.frame if oldest else self.pending[0].number if self.pending else self.frames
        return self.frames - first

    @property
    def must_wait(self) -> bool:
        """Whether the next chunk has no room until an open answer has ended."""
        if not self.cache.pinned or self.newest is None:
            return False
        return self.memory.lacks(self._chunks.tokens(
            self.newest, self._settings.chunk_frames, self.place, self.size))

    @property
    def rebase_due(self) -> bool:
        """Whether positions are to be counted anew, which waits until no answer is open."""
        return self.state.last_cache_position > self._largest and self.cache.pinned

    def encode(self, frames: Sequence[Frame]) -> EncodedChunk:
        """Run an even number of frames of one size through the ViT; change nothing."""
        return self._chunks.encode(frames, self.place, self.size)

    def keep_turn(self, chunk: EncodedChunk | None, ids: Sequence[int], tail: Tail) -> None:
        """Make an answered branch part of the stream, and let turns go that are too many.

        Args:
            chunk: the odd frame that the branch began with, if there was one.
            ids: all of the branch's tokens.
            tail: their keys and values.

        Raises:
            StreamError: OUT_OF_MEMORY; nothing was kept.

        """
        self._make_room(chunk, len(ids))
        positions, state = self._model.position_rule.place(
            self.state, ids, [chunk.part] if chunk else [])
        segment = chunk.segment if chunk else self.memory.segment
        labels = turn_labels(self.memory, self._prompt, chunk.place if chunk else self.place,
                             segment, chunk.labels if chunk else [], len(ids))
        self.cache.reserve(len(ids))
        for layer in range(len(self.cache.keys)):
            self.cache.store(layer, *tail.view(layer, 0, len(ids)))
        self.cache.advance(len(ids))
        self.cache.label(labels, positions)
        self.memory.segment, self.memory.turn = segment, self.memory.turn + 1
        self.memory.forget_turns()
        self.state = dataclasses.replace(state, length=self.cache.length)
        self.place = Place.TURN_END
        # An odd frame was completed in the branch, which is now the stream.
        self.pending.clear()
        self.seen = self.newest
        # What the answer was given on is seen anew behind it.
        self.still.kept = None

    def tail_frames(self) -> list[Frame]:
        """Return the odd frame that is left after ``flush``, completed; or nothing."""
        return [self.pending[-1], self.pending[-1]] if self.pending else []

    def _make_room(self, chunk: EncodedChunk | None, tokens: int) -> None:
        """Let go what has to for a chunk and what may come with it."""
        self.memory.make_room(tokens, chunk.part.times_ns if chunk else (),
                              goes_on=chunk is not None and chunk.segment == self.memory.segment)
        self.state = dataclasses.replace(self.state, length=self.cache.length)
