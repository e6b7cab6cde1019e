# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream: frames come in, chunks are prefilled; what is cached, and how the prompt ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import StillReadError
from streamvlm_ros.engine.kvcache.capacity import cache_slots, rebase_position
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.models.view_size import view_tokens
from streamvlm_ros.engine.outputs import CacheInfo
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.chunks import ChunkEncoder, ChunkLayout, EncodedChunk
from streamvlm_ros.engine.stream.encoder_cache import EncoderCache, PendingChunk
from streamvlm_ros.engine.stream.frames import Frame, RecentFrames, upload_frame
from streamvlm_ros.engine.stream.rebasing import Rebasing
from streamvlm_ros.engine.stream.stamps import FrameClock
from streamvlm_ros.engine.stream.static_filter import StaticFilter


class FrameStream:
    """Takes frames and prefills them, chunk by chunk, into the cache.

    Attributes:
        cache: the stream's keys and values.
        state: its position state; the stream's own, so that streams can share a model.
        pending: frames that do not fill a chunk yet, without those left out as still.
        place: what the last cached token belongs to.
        memory: decides which entries of the cache are kept.
        frames: frames that came since the stream began.
        newest, recent: the last of them (None: no frame yet), and the newest as they came.
        epoch: number of the stream.
        seen: the newest frame that is in the cache or was left out as still.
        still: leaves out temporal patches that show nothing new.
        pixels: the preprocessing, with the settings' bounds.
        paired: the newest frame that completed a pair.
        size: height and width of the frames that are newest in the cache.
        left_out: frames left out as still since ``flush``; they count for a full chunk too.
        skipped_ns: time of the newest patch left out since ``flush``.
        encoder_cache: the next chunk, if it was encoded while its frames still waited.
        chunks_alone, chunks_together: chunks that the stream encoded by itself since it began, and
            those that it found encoded.
        clock: gives frames their time in the video.
        rule: gives tokens their positions.
        rebasing: counts positions anew when they have become too large.

    """

    def __init__(
        self,
        model: StreamingModel,
        prompt: Prompt,
        pixels: ImageProcessorConfig,
        settings: StreamSettings,
    ) -> None:
        """Allocate the cache."""
        self._model, self._runner = model, ModelRunner.of(model)
        self.pixels = pixels.bounded(settings.min_pixels, settings.max_pixels)
        self._settings = settings
        patches = settings.sample_rate / self.pixels.temporal_patch_size
        slots = cache_slots(
            settings,
            model.layer_bytes,
            model.layer_devices,
            patches * (self.pixels.most_tokens + prompt.most_around_patch),
            settings.open_views * view_tokens(settings, pixels, prompt),
        )
        self.cache = model.new_cache(slots)
        self.recent = RecentFrames(settings.view_ring_bytes)
        self.memory = EvictionPolicy(
            self.cache, settings.memory_seconds, settings.kept_turns, settings.slack
        )
        self._chunks = ChunkEncoder(
            model, prompt, self.pixels, self.memory, append=settings.position_mode == 'append'
        )
        self.clock = FrameClock(settings)
        self.rule = model.position_rule
        self.rebasing = Rebasing(
            model, self.memory, rebase_position(settings, model.trained_positions)
        )
        self.epoch = 0
        self.still = StaticFilter(self.pixels, settings.skip_static, model.device)
        self.encoder_cache = EncoderCache(model, self.pixels, self.still)
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
        self.recent.clear()
        self.seen: Frame | None = None
        self.paired: Frame | None = None
        self.still.kept = None
        self.encoder_cache.prepared = None
        self.chunks_alone = self.chunks_together = self.left_out = 0
        self.size: tuple[int, int] | None = None
        self.skipped_ns: int | None = None
        self._waiting: tuple[list[Frame], EncodedChunk] | None = None
        self.rebasing.clear()
        self.clock.start_over()

    @torch.inference_mode()
    def append(self, frame: Frame) -> None:
        """Take a frame that was checked, and whose stamp goes on from the last one.

        It is prefilled when its chunk is full, or when a frame of another size comes.

        Raises:
            StreamError: OUT_OF_MEMORY if a chunk can never fit; a StillReadError if it cannot fit
                while open answers read what would be evicted for it.  The frame was not taken, the
                stream is as it was.  The same holds for other errors of the device in the prefill,
                except that entries that made room for the chunk may be evicted.

        """
        self.memory.held_up = False
        if self.pending and frame.size != self.pending[-1].size:
            self.flush(complete=True)
        temporal = self.pixels.temporal_patch_size
        frame.number = self.frames
        frame.time_ns = self.clock.time_ns(frame.stamp_ns, self.frames)
        upload_frame(frame, self.pixels, self._model.device)
        before, self.pending = self.pending, [*self.pending, frame]
        left_out, skipped_ns, look = self.left_out, self.skipped_ns, None
        paired = self.paired
        try:
            completes = len(self.pending) % temporal == 0
            if completes:
                self.paired = frame
            if completes and self._settings.skip_static:
                look = self.still.look(self.pending[-temporal:])
            if look is not None and look.still:
                self.skipped_ns = self.pending[-temporal].time_ns
                self.left_out += temporal
                del self.pending[-temporal:]
            elif completes if self._settings.skip_static else len(self.pending) % temporal == 1:
                # A temporal patch needs room as soon as it begins; if it may turn out to be still,
                # only when it is whole.
                self.memory.check(self._most_tokens(frame.size, len(self.pending)))
            if len(self.pending) + self.left_out >= self._settings.chunk_frames:
                self.flush()
        except BaseException:
            self.pending, self.left_out, self.skipped_ns = before, left_out, skipped_ns
            self.paired = paired
            raise
        if look is not None:
            self.still.commit(look)
        self.recent.add(frame)
        self.frames += 1
        self.newest = frame

    def flush(self, complete: bool = False) -> None:
        """Prefill the pending whole pairs; ``complete`` also takes an odd last frame, repeated.

        The stream changes only here and in ``turns.keep_turn``: a chunk is prefilled at its own
        boundaries, and positions are counted anew first if they have passed the limit.

        Raises:
            StreamError: as ``append``; the stream is then as it was.

        """
        temporal = self.pixels.temporal_patch_size
        frames = self.pending[: len(self.pending) // temporal * temporal]
        left, look, skipped_ns = self.pending[len(frames) :], None, self.skipped_ns
        paired = self.paired
        if complete and left:
            look = self.still.look([left[-1], left[-1]])
            if look.still:
                skipped_ns = left[-1].time_ns
            else:
                frames = [*self.pending, left[-1]]
            paired = left[-1]
            left = []
        rebasing = self.rebasing
        if rebasing.put_off or (frames and self.state.last_cache_position > rebasing.largest):
            # What was put off comes first: time that passes without a chunk counts from there.
            self.state = rebasing.run(self.state)
        if frames:
            self._prefill(frames)
        if skipped_ns is not None:
            self.state = self.rule.pass_time(self.state, skipped_ns)
        if look is not None:
            self.still.commit(look)
        self.skipped_ns = None
        self.pending = left
        self.seen = self.paired = paired
        self.left_out = 0
        self.keep_in_range()

    def catch_up(self) -> None:
        """Count positions anew if that was put off because open answers read the keys.

        Raises:
            StillReadError: BUSY; they still do.

        """
        if self.rebasing.put_off:
            self.state = self.rebasing.run(self.state)

    def waiting_chunk(self) -> EncodedChunk | None:
        """Encode the frames that wait for their chunk to fill, an odd last one completed.

        They are for a question's own branch; the stream will encode its own chunk as without the
        question.  Questions about the same frames share what was encoded.
        """
        if not self.pending:
            return None
        if self._waiting is None or self._waiting[0] is not self.pending:
            odd = len(self.pending) % self.pixels.temporal_patch_size
            frames = [*self.pending, *self.pending[-1:] * odd]
            layout = self._layout(frames)
            self._waiting = self.pending, self._chunks.encode(frames, layout, self.place)
        return self._waiting[1]

    @property
    def lacking(self) -> int:
        """Frames that must come until the chunk is full."""
        return self._settings.chunk_frames - len(self.pending) - self.left_out

    def due_chunk(self, waiting: Sequence[Frame]) -> PendingChunk | None:
        """Return the chunk that waiting frames will complete.

        Return None if they will not, because they are too few, or one has another size or goes
        back in time; and if the chunk was prepared before, with or without success.
        """
        frames = [*self.pending, *waiting]
        stamps = [frame.stamp_ns for frame in (self.newest, *waiting) if frame is not None]
        prepared = self.encoder_cache.prepared
        if (
            len(waiting) < self.lacking
            or len({frame.size for frame in frames}) > 1
            or stamps != sorted(stamps)
            or (prepared is not None and prepared.holds(frames))
        ):
            return None
        grid = grid_of(frames[0].size, len(frames), self.pixels)
        return PendingChunk(self.encoder_cache, frames, waiting, grid)

    @property
    def oldest_stamp_ns(self) -> int:
        """Stamp of the oldest frame that is in memory or pending; 0: no frame yet."""
        oldest = self.cache.oldest_patch or next(iter(self.pending), self.newest)
        return oldest.stamp_ns if oldest else 0

    @property
    def frames_held(self) -> int:
        """Frames in memory or pending; one left out as still counts with the patch it equals."""
        oldest = self.cache.oldest_patch
        first = oldest.frame if oldest else self.pending[0].number if self.pending else self.frames
        return self.frames - first

    @property
    def must_wait(self) -> bool:
        """Whether the next chunk has no room until an open answer has ended."""
        size = self.pending[-1].size if self.pending else self.size
        if not self.cache.pinned or size is None:
            return False
        return self.state.last_cache_position > self.rebasing.largest or self.memory.must_wait(
            self._most_tokens(size, self._settings.chunk_frames)
        )

    def info(self, late_frames: int = 0) -> CacheInfo:
        """Return what the memory holds; ``late_frames`` were left out before they came here."""
        newest = self.newest
        return CacheInfo(
            tokens=self.cache.length,
            capacity=self.cache.capacity,
            memory_bytes=self.cache.memory_bytes,
            evicted_tokens=self.memory.evicted_tokens,
            last_cache_position=self.state.last_cache_position,
            frames=self.frames_held,
            pending_frames=len(self.pending),
            skipped_patches=self.still.skipped,
            late_frames=late_frames,
            epoch=self.epoch,
            stamp_ns=newest.stamp_ns if newest else 0,
            oldest_stamp_ns=self.oldest_stamp_ns,
            frame_id=newest.frame_id if newest else '',
        )

    def _prefill(self, frames: Sequence[Frame]) -> None:
        """Prefill an even number of frames of one size."""
        layout = self._layout(frames)
        with self.undone_by_a_fault():
            self.make_room(layout.tokens, self._chunks.times(frames), layout.goes_on)
            video = self._encoded(frames)
            chunk = self._chunks.encode(frames, layout, self.place, video)
            positions, state = self.rule.place(self.state, chunk.ids, chunk.parts)
            self._runner.prefill(chunk.ids, positions, self.cache, chunk.video)
            self.cache.label(chunk.labels, positions, chunk.ids)
            self.memory.segment = chunk.segment
            self.state, self.place, self.size = state, chunk.place, frames[-1].size

    def _layout(self, frames: Sequence[Frame]) -> ChunkLayout:
        """Return the tokens of a chunk of frames of one size, where the stream ends now."""
        return self._chunks.layout(frames, self.place, self.size)

    def _most_tokens(self, size: tuple[int, int], frames: int) -> int:
        """Return how many tokens a chunk of ``frames`` frames of a size takes at most."""
        return self._chunks.most_tokens(size, frames, self.place, self.size)

    def _encoded(self, frames: Sequence[Frame]) -> torch.Tensor | None:
        """Return the embeddings of frames that were encoded with other streams', and count."""
        video = self.encoder_cache.take(frames) if self.encoder_cache.prepared else None
        self.chunks_alone += video is None
        self.chunks_together += video is not None
        return video

    def keep_in_range(self) -> None:
        """Count positions anew now if the positions that are left for questions are used up.

        Otherwise the next chunk does it, which after a long pause is too late for a question.
        """
        if self.state.last_cache_position > self.rebasing.largest * 4 // 3:
            with contextlib.suppress(StillReadError):
                self.state = self.rebasing.run(self.state)

    def make_room(self, tokens: int, times_ns: Sequence[int], goes_on: bool) -> None:
        """Evict what has to make room for new tokens; see ``EvictionPolicy.make_room``."""
        self.memory.make_room(tokens, times_ns, goes_on)
        self.state = dataclasses.replace(self.state, length=self.cache.length)

    @contextlib.contextmanager
    def undone_by_a_fault(self) -> Iterator[None]:
        """Undo what a fault leaves half done, except evictions that made room for it."""
        entries, state, place, size = set(self.cache.entries), self.state, self.place, self.size
        segment, turn = self.memory.segment, self.memory.turn
        try:
            yield
        except BaseException:
            self.cache.drop([entry for entry in self.cache.entries if entry not in entries])
            self.state = dataclasses.replace(state, length=self.cache.length)
            self.place, self.size = place, size
            self.memory.segment, self.memory.turn = segment, turn
            raise
