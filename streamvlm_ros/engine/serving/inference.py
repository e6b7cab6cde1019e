# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine for a Python program: frames in, questions answered from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from streamvlm_ros import checks
from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine.config import LOWEST_RATE, StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.devices import move_model
from streamvlm_ros.engine.models.processor import as_stream_processor
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.outputs import Answer, CacheInfo, Choice
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.questions.views import Views
from streamvlm_ros.engine.questions.watch import Watch, WatchEvent
from streamvlm_ros.engine.questions.watches import Watches
from streamvlm_ros.engine.serving.snapshot import Snapshot
from streamvlm_ros.engine.store.place import Where
from streamvlm_ros.engine.stream.frames import check_frame_id, check_image, Frame
from streamvlm_ros.engine.stream.saving.loaded_stream import LoadedStream, read_stream
from streamvlm_ros.engine.stream.saving.saved_stream import SavedStream, write_stream
from streamvlm_ros.engine.stream.saving.saver import StreamSaver
from streamvlm_ros.engine.stream.stamps import Stamp, StampJudge, Verdict
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.view import View, ViewName


class VideoStreamingInference:
    """Streams video into the KV cache and answers questions about it.

    Not thread-safe: one thread owns it (``StreamWorker`` in the node).

    Attributes:
        settings: what the stream was begun with.
        model: what it runs on.
        questions: opens several questions at once and decodes them together.
        stream: the frames' way into the cache.
        standing: the standing questions, and what they cost.
        saver: copies the stream, and puts a loaded one in its place.

    """

    def __init__(
        self,
        model: StreamingModel,
        processor: Any,
        device: str | None = None,
        settings: StreamSettings | None = None,
    ) -> None:
        """Take a model and its processor.

        Args:
            model: the streaming model.
            processor: ``load_processor``'s result, or a stock ``AutoProcessor``.
            device: where to move the model; None leaves it where it is.
            settings: the stream's settings; None takes the defaults.

        Raises:
            StreamError: OUT_OF_MEMORY when the cache does not fit the device;
                INVALID_REQUEST when the device does not exist.

        """
        self.settings = settings or StreamSettings()
        own = as_stream_processor(processor, model.family)
        self.model = move_model(model, device)
        prompt = Prompt(
            own,
            model.family,
            self.settings.system_prompt,
            model.generation.stop_tokens,
            self.settings.max_question_tokens,
            self.settings.max_system_tokens,
        )
        try:
            stream = FrameStream(model, prompt, own.pixels, self.settings)
            views = Views(self.model, prompt, stream, own.pixels, self.settings)
        except RuntimeError as error:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'A KV cache of {self.settings.capacity} tokens does not fit the '
                f'device; lower the capacity ({error}).',
            ) from error
        self.stream = stream
        self.questions = Questions(self.model, prompt, stream, views)
        self.standing = Watches(prompt, stream, self.questions, self.settings.max_watch_tokens)
        self.saver = StreamSaver(self.model, prompt, stream, self.settings)
        self._stamps = StampJudge(self.settings, stream.clock)

    @property
    def epoch(self) -> int:
        """Number of the stream: a reset, or stamps that jump back, begin the next one."""
        return self.stream.epoch

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest frame, by which the next one's is judged; None: there is none."""
        return self.stream.newest.stamp_ns if self.stream.newest else None

    def append_frame(
        self, frame: np.ndarray, stamp: Stamp | None = None, frame_id: str = ''
    ) -> None:
        """Append one frame; it is prefilled when its chunk is full.

        If time_source is stamp, a frame that is older than the newest by at most late_tolerance
        is left out and counted (``CacheInfo.late_frames``); an even older one begins a new epoch.

        Args:
            frame: RGB uint8 [h, w, 3].
            stamp: its time, integer nanoseconds or float seconds; None: by the uniform rate.
            frame_id: passed through to the answers.

        Raises:
            StreamError: INVALID_REQUEST for what is not an image, frame_id or stamp; and for a
                stamp that is ahead of the newest by more than max_gap, and 10 periods of
                sample_rate, unless the last one was near it.
                OUT_OF_MEMORY when the cache is full.  The stream is then as it was.

        """
        image = check_image(frame, self.settings.max_image_pixels)
        check_frame_id(frame_id, self.settings.max_frame_id)
        newest, doubtful = self.newest_stamp_ns, self._stamps.doubtful
        if stamp is None:
            [stamp_ns] = self._stamps.following(newest)
        else:
            stamp_ns = self._stamps.stamp_ns(stamp)
            [verdict] = self._stamps.judge([stamp_ns], newest)
            if not self._follow(verdict):
                return
        try:
            self.stream.append(Frame(image, stamp_ns, frame_id=frame_id))
        except BaseException:
            self._stamps.doubtful = doubtful
            raise

    def append_video_chunk(
        self,
        frames: Sequence[np.ndarray],
        fps: float | None = None,
        stamps: Sequence[Stamp] | None = None,
    ) -> None:
        """Append frames and prefill them all; an odd last one is completed by repeating it.

        Args:
            frames: RGB uint8 [h, w, 3] each.
            fps: their rate when there are no stamps; default: the stream's sample_rate.
            stamps: their times, as in ``append_frame``; one that is too far ahead is taken if the
                next one is near it.

        Raises:
            StreamError: as ``append_frame``; INVALID_REQUEST also for no frames, a rate or stamps
                that cannot be.  If an image or a stamp is refused, no frame is taken.

        """
        fps = None if fps is None else checks.number('fps', fps)
        if not len(frames) or not LOWEST_RATE <= (1.0 if fps is None else fps) < float('inf'):
            wrong = f'A chunk needs at least one frame and an fps above 0: {LOWEST_RATE} or more.'
            raise StreamError(ErrorCode.INVALID_REQUEST, wrong)
        if stamps is not None and len(stamps) != len(frames):
            wrong = f'{len(frames)} frames came with {len(stamps)} stamps.'
            raise StreamError(ErrorCode.INVALID_REQUEST, wrong)
        images = [check_image(frame, self.settings.max_image_pixels) for frame in frames]
        if stamps is None:
            times = self._stamps.following(self.newest_stamp_ns, len(images), fps)
            verdicts = [Verdict.GOES_ON] * len(times)
        else:
            times = [self._stamps.stamp_ns(stamp) for stamp in stamps]
            verdicts = self._stamps.judge(times, self.newest_stamp_ns)
        for image, time_ns, verdict in zip(images, times, verdicts):
            if self._follow(verdict):
                self.stream.append(Frame(image, time_ns))
        with torch.inference_mode():
            self.stream.flush(complete=True)

    def ask(
        self,
        question: str,
        max_new_tokens: int = 128,
        update_state: bool = False,
        temperature: float = 0.0,
        top_p: float = 0.0,
        *,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
        generation: str = '',
        sample: bool = False,
        top_k: int = 0,
        min_p: float = 0.0,
        repetition_penalty: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """Answer a question about what its view shows, which is everything seen so far.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: keep question and answer in the stream; False leaves it as it was.
            view: what it looks at.
            return_frames: give the frames that were read for it (``Answer.images``).
            temperature, top_p, generation, sample, top_k, min_p, repetition_penalty, seed: how
                its tokens are chosen; see ``AnswerSettings``.

        Returns:
            The answer; ``text, metrics = engine.ask(...)`` unpacks it.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, or OUT_OF_MEMORY.

        """
        settings = AnswerSettings(
            generation, sample, temperature, top_p, top_k, min_p, repetition_penalty, seed
        )
        how = max_new_tokens, update_state, settings, None, view, return_frames
        sequence = self.questions.open(question, *how)
        try:
            while not sequence.ended:
                self.questions.decode([sequence])
            return self.questions.close(sequence)
        finally:
            self.questions.abandon(sequence)

    def ask_choice(
        self,
        question: str,
        choices: Sequence[str],
        *,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
    ) -> Choice:
        """Choose the most probable of 2 to 26 choices, as ``ask``; nothing is decoded."""
        return Choice.of(self.questions.choose(question, choices, view, return_frames))

    def get_cache_info(self) -> CacheInfo:
        """Return what the stream's memory holds."""
        return self.stream.info(self._stamps.late_frames)

    @torch.inference_mode()
    def save(self, where: Where) -> SavedStream:
        """Write the stream to a file, which is replaced as a whole or not at all.

        Args:
            where: the file's path, or what opens its place; watches are not part of it.

        Raises:
            StreamError: NO_FRAMES; there is nothing to save.  FILE_ERROR; it cannot be written,
                or what lies there is no saved stream.

        """
        return write_stream(where, self.saver.view())

    def load(self, where: Where) -> SavedStream:
        """Replace this stream by a saved one and go on with that; watches begin again.

        Open questions must be abandoned.

        Args:
            where: the file's path, or what opens its place.

        Raises:
            StreamError: FILE_ERROR; the file is not there, damaged, of another model or with
                other settings.  OUT_OF_MEMORY; the cache is too small for it.  The stream is then
                as it was.

        """
        return self.go_on_with(read_stream(where, self.saver.bounds))

    @torch.inference_mode()
    def go_on_with(self, loaded: LoadedStream) -> SavedStream:
        """Replace this stream by one that was read and checked; see ``load``.

        Raises:
            StreamError: the device fails; the stream is then empty, in a new epoch.

        """
        try:
            saved = self.saver.put_in_place(loaded)
        except BaseException:
            self.forget()
            raise
        self._stamps.start_over()
        self.standing.restart()
        return saved

    def reset(self) -> None:
        """Forget the stream and begin a new epoch; watches stay, and their answers begin again."""
        self.forget()
        self.stream.epoch += 1

    def forget(self) -> None:
        """Forget the stream as if it had never begun."""
        self.stream.clear()
        self.standing.restart()
        self._stamps.start_over()

    def snapshot(self) -> Snapshot:
        """Return the whole state of the stream, to which ``restore`` goes back."""
        return Snapshot(self.stream, self._stamps, self.standing)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, as if nothing had followed; see ``Snapshot.restore``."""
        snapshot.restore(self.stream)

    def watch(
        self,
        question: str,
        choices: Sequence[str],
        *,
        threshold: float = 0.7,
        hold: int = 2,
        name: str = '',
        view: View | ViewName = 'memory',
    ) -> Watch:
        """Add a standing question, which is scored after every chunk; see ``Watches.add``."""
        return self.standing.add(question, choices, threshold, hold, name, view)

    def unwatch(self, name: str) -> None:
        """Remove a standing question; see ``Watches.remove``."""
        self.standing.remove(name)

    def watches(self) -> tuple[Watch, ...]:
        """Return the standing questions as they stand, in the order they were added."""
        return self.standing.all()

    def score_watches(self) -> list[WatchEvent]:
        """Score all standing questions if frames were prefilled; see ``Watches.score``."""
        return self.standing.score()

    def set_sample_rate(self, hz: float) -> None:
        """Change the uniform rate; time goes on from where it is.

        Raises:
            StreamError: INVALID_REQUEST for a rate that ``check_sample_rate`` refuses.

        """
        self.stream.clock.set_rate(hz, self.stream.frames)

    def _follow(self, verdict: Verdict) -> bool:
        """Do what a verdict says before its frame is taken; return whether it is taken."""
        self._stamps.late_frames += verdict is Verdict.LATE
        if verdict is Verdict.BACK:
            self.reset()
        return verdict is not Verdict.LATE
