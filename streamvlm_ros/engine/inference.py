# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The application's face: frames in, questions answered from the cache."""

from __future__ import annotations

from collections.abc import Sequence
import time
from typing import Any

import numpy as np
import torch

from streamvlm_ros.engine.answering import Answering, GREEDY, Sampling
from streamvlm_ros.engine.branch import Branch
from streamvlm_ros.engine.devices import move_model
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.frames import check_image, Frame, Stamp, to_nanoseconds
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.open_question import OpenQuestion
from streamvlm_ros.engine.positions import NANOSECONDS
from streamvlm_ros.engine.processor import as_stream_processor
from streamvlm_ros.engine.prompt import Place, Prompt
from streamvlm_ros.engine.results import Answer, CacheInfo, Choice, Metrics
from streamvlm_ros.engine.settings import StreamSettings
from streamvlm_ros.engine.stream import FrameStream


class VideoStreamingInference:
    """Streams video into the KV cache and answers questions about it.

    Not thread-safe: one thread owns it (``StreamWorker`` in the node).
    """

    def __init__(self, model: StreamQwenModel, processor: Any, device: str | None = None,
                 settings: StreamSettings | None = None) -> None:
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
        self.epoch = 0
        own = as_stream_processor(processor)
        stop = model.generation_config.eos_token_id if model.generation_config else None
        stops = [] if stop is None else [stop] if isinstance(stop, int) else list(stop)
        self._model = move_model(model, device)
        self._prompt = Prompt(own, self.settings.system_prompt, stops)
        try:
            self._stream = FrameStream(model, self._prompt, own.pixels, self.settings)
        except RuntimeError as error:
            raise StreamError(ErrorCode.OUT_OF_MEMORY,
                              f'A KV cache of {self.settings.capacity} tokens does not fit the '
                              f'device; lower the capacity ({error}).') from error

    def append_frame(self, frame: np.ndarray, stamp: Stamp | None = None,
                     frame_id: str = '') -> None:
        """Append one frame; it is prefilled when its chunk is full.

        Args:
            frame: RGB uint8 [h, w, 3].
            stamp: its time, integer nanoseconds or float seconds.  None: at the uniform rate
                behind the last one.  A stamp that goes back starts a new epoch.
            frame_id: passed through to the answers.

        Raises:
            StreamError: INVALID_REQUEST for what is no image, OUT_OF_MEMORY when the cache is
                full; the stream is then as it was.

        """
        image = check_image(frame)
        newest = self._stream.newest
        stamp_ns = self._next_stamp() if stamp is None else to_nanoseconds(stamp)
        if newest is not None and stamp_ns < newest.stamp_ns:
            self.reset()
        time_ns = stamp_ns
        if self.settings.time_source == 'uniform':
            time_ns = round(self._stream.frames * NANOSECONDS / self.settings.sample_rate)
        with torch.inference_mode():
            self._stream.append(Frame(image, stamp_ns, time_ns, frame_id))

    def append_video_chunk(self, frames: Sequence[np.ndarray], fps: float | None = None,
                           stamps: Sequence[Stamp] | None = None) -> None:
        """Append frames and prefill them all; an odd last one is completed by repeating it.

        Args:
            frames: RGB uint8 [h, w, 3] each.
            fps: their rate when there are no stamps; default: the stream's sample_rate.
            stamps: their times, as in ``append_frame``.

        Raises:
            StreamError: as ``append_frame``; INVALID_REQUEST also for no frames, a rate that is
                not above 0, or as many stamps as there are not frames.

        """
        if not len(frames) or (fps is not None and not fps > 0):
            raise StreamError(ErrorCode.INVALID_REQUEST,
                              'A chunk needs at least one frame and an fps above 0.')
        if stamps is not None and len(stamps) != len(frames):
            raise StreamError(ErrorCode.INVALID_REQUEST,
                              f'{len(frames)} frames came with {len(stamps)} stamps.')
        images = [check_image(frame) for frame in frames]
        if stamps is None:
            first = self._next_stamp(fps)
            rate = fps or self._uniform_rate()
            stamps = [first + round(i * NANOSECONDS / rate) for i in range(len(images))]
        for image, stamp in zip(images, stamps):
            self.append_frame(image, stamp)
        with torch.inference_mode():
            self._stream.flush(complete=True)

    def ask(self, question: str, max_new_tokens: int = 128, update_state: bool = False,
            temperature: float = 0.0, top_p: float = 1.0) -> tuple[str, Metrics]:
        """Answer a question about everything seen so far.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: keep question and answer in the stream; False leaves it as it was.
            temperature: 0 is greedy.
            top_p: nucleus of the sampling.

        Returns:
            The answer and its metrics.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, or OUT_OF_MEMORY.

        """
        opened = self.open_question(question, max_new_tokens, update_state,
                                    Sampling(temperature, top_p))
        assert opened.answering is not None
        with torch.inference_mode():
            while not opened.answering.step():
                pass
        answer = self.close_question(opened)
        return answer.text, answer.metrics

    def ask_choice(self, question: str, choices: Sequence[str]) -> Choice:
        """Choose the most probable of 2 to 26 choices; nothing is decoded.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, or OUT_OF_MEMORY.

        """
        answer = self.answer_choice(question, choices)
        return Choice(answer.text, answer.choice_index, answer.choice_probabilities)

    @torch.inference_mode()
    def open_question(self, question: str, max_new_tokens: int = 128,
                      update_state: bool = False, sampling: Sampling | None = None,
                      began: float | None = None) -> OpenQuestion:
        """Prefill a question on a branch of its own and draw its first token.

        ``began`` is when the question was asked (``time.perf_counter``), if that was earlier.
        """
        began = time.perf_counter() if began is None else began
        if not 1 <= max_new_tokens <= self.settings.capacity:
            raise StreamError(ErrorCode.INVALID_REQUEST,
                              f'max_new_tokens is {max_new_tokens}; give 1 to '
                              f'{self.settings.capacity}.')
        self._prompt.ask(self._stream.place, question)
        ids, video, parts = self._newest_frames()
        ids = [*ids, *self._prompt.ask(self._place_behind(ids), question)]
        closing = len(self._prompt.turn_end) + 1
        if update_state:
            self._stream.cache.reserve(len(ids) + max_new_tokens + closing)
        branch = Branch(self._model, self._stream.cache, self._stream.state,
                        len(ids) + max_new_tokens + closing)
        opened = OpenQuestion(question, update_state, branch.state.length + len(ids), began,
                              self._stream, self.epoch)
        logits = branch.prefill(ids, video, parts)
        opened.answering = Answering(branch, logits, self._prompt, max_new_tokens,
                                     sampling or GREEDY)
        opened.first_token()
        return opened

    @torch.inference_mode()
    def close_question(self, opened: OpenQuestion, finish_reason: str = '') -> Answer:
        """Return the answer; with ``update_state``, keep its turn in the stream."""
        answer = opened.answer(finish_reason=finish_reason)
        if opened.update_state and opened.answering is not None:
            # The last token drawn was never fed; what ends the turn follows it.
            last = opened.answering.tokens[-1:]
            end = self._prompt.turn_end
            branch = opened.answering.branch
            branch.prefill(end if last == end[:1] else [*last, *end])
            self._stream.cache.extend(branch.tail)
            self._stream.state = branch.state
            self._stream.place = Place.TURN_END
            # An odd frame was completed in the branch, which is now the stream.
            self._stream.pending.clear()
        return answer

    @torch.inference_mode()
    def answer_choice(self, question: str, choices: Sequence[str],
                      began: float | None = None) -> Answer:
        """Answer a choice question; see ``ask_choice``."""
        began = time.perf_counter() if began is None else began
        self._prompt.ask_choice(self._stream.place, question, choices)
        ids, video, parts = self._newest_frames()
        asked, scored = self._prompt.ask_choice(self._place_behind(ids), question, choices)
        ids = [*ids, *asked]
        branch = Branch(self._model, self._stream.cache, self._stream.state,
                        len(ids) + sum(map(len, scored)))
        opened = OpenQuestion(question, False, branch.state.length + len(ids), began,
                              self._stream, self.epoch)
        probabilities = branch.score(ids, scored, video, parts).softmax(-1).tolist()
        opened.first_token()
        best = max(range(len(choices)), key=probabilities.__getitem__)
        return opened.answer(Choice(choices[best], best, tuple(probabilities)))

    def get_cache_info(self) -> CacheInfo:
        """Return what the stream's memory holds."""
        stream, state = self._stream, self._stream.state
        return CacheInfo(
            tokens=stream.cache.length, capacity=stream.cache.capacity,
            memory_bytes=stream.cache.memory_bytes, evicted_tokens=0,
            last_cache_position=state.last_cache_position, frames=stream.frames,
            pending_frames=len(stream.pending), epoch=self.epoch,
            stamp_ns=stream.newest.stamp_ns if stream.newest else 0,
            oldest_stamp_ns=stream.oldest.stamp_ns if stream.oldest else 0,
            frame_id=stream.newest.frame_id if stream.newest else '')

    def reset(self) -> None:
        """Forget the stream and begin a new epoch."""
        self._stream.clear()
        self.epoch += 1

    def _newest_frames(self) -> tuple[list[int], Any, list[Any]]:
        """Prefill whole pending pairs; return the odd frame's part of the question's branch."""
        if self._stream.newest is None:
            raise StreamError(ErrorCode.NO_FRAMES,
                              'No frame has come in yet; check the camera topic, or wait.')
        self._stream.flush()
        frames = self._stream.tail_frames()
        if not frames:
            return [], None, []
        chunk = self._stream.encode(frames)
        return chunk.ids, chunk.video, [chunk.part]

    def _place_behind(self, tail: list[int]) -> Place:
        if not tail:
            return self._stream.place
        append = self.settings.position_mode == 'append'
        return Place.USER_TURN if append else Place.VIDEO

    def _uniform_rate(self) -> float:
        if not self.settings.sample_rate:
            raise StreamError(ErrorCode.INVALID_REQUEST,
                              'Frames without stamps need an fps or a sample_rate above 0.')
        return self.settings.sample_rate

    def _next_stamp(self, fps: float | None = None) -> int:
        newest = self._stream.newest
        if newest is None:
            return 0
        return newest.stamp_ns + round(NANOSECONDS / (fps or self._uniform_rate()))
