# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The front door in Python: a model's name in, frames in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
import logging
import os
from types import TracebackType

import numpy as np
import torch

from streamvlm_ros.answer_settings import AnswerSettings, Generation
from streamvlm_ros.engine.api.answer_stream import AnswerStream, OpenAnswers
from streamvlm_ros.engine.config import Device, Dtype, Quantization, StreamSettings
from streamvlm_ros.engine.errors import StreamError
from streamvlm_ros.engine.models.devices import free_device_memory
from streamvlm_ros.engine.outputs import Answer, CacheInfo, Choice
from streamvlm_ros.engine.questions.watch import Watch, WatchEvent
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.serving.loading import load_streams
from streamvlm_ros.engine.serving.snapshot import Snapshot
from streamvlm_ros.engine.stream.saving.loaded_stream import read_stream
from streamvlm_ros.engine.stream.saving.saved_stream import SavedStream, write_stream
from streamvlm_ros.engine.stream.stamps import stamp_of
from streamvlm_ros.view import View, ViewName

LOG = logging.getLogger(__name__)


class StreamingVLM:
    """A video stream and a model that answers questions about it.

    ``with StreamingVLM.from_pretrained('tiny') as vlm:`` loads a model; the block's end frees it.

    Any thread may call any method.  Calls take turns at the model, in the order in which they
    come, and what a call returns is done: after ``append`` the frame is in the stream.  While one
    thread asks, others append between two tokens of the answer, which does not see their frames.
    No frame is dropped: a program that is faster than the model waits.  (``StreamWorker``, which
    the ROS node uses, never waits: it drops and samples frames instead.)

    All errors are ``StreamError``s, with a class for each code; a call that raises one has changed
    nothing.
    """

    def __init__(self, engine: VideoStreamingInference) -> None:
        """Take a stream over, for example one of several that ``open_streams`` has returned."""
        self._turns = OpenAnswers(engine)
        self._settings = engine.settings

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] = 'tiny',
        *,
        device: Device | str = 'auto',
        dtype: Dtype = 'auto',
        quantization: Quantization | None = None,
        settings: StreamSettings | None = None,
    ) -> StreamingVLM:
        """Load a model as the node does, and warm it up.

        Args:
            model: 'tiny' (embedded), a folder, or a hub id, which is fetched if it is not there.
            device: 'auto', 'cpu', 'cuda', 'cuda:N', or 'balanced' (spread over all GPUs).
            dtype: 'auto' (what the device is fast in), 'float32', 'bfloat16' or 'float16'.
            quantization: of the decoder, 'int8' or 'int4'; None: none.
            settings: the stream's; None takes the defaults.

        Raises:
            StreamError: INVALID_REQUEST; a value does not suit the model, or the device is not
                there.  OUT_OF_MEMORY; model or cache do not fit the device.
            OSError, ValueError: there is no such model; it is damaged, or not one that is run.

        """
        [engine] = load_streams(
            os.fspath(model),
            [settings or StreamSettings()],
            device=device,
            dtype=dtype,
            quantization=quantization or 'none',
        )
        return cls(engine)

    @property
    def settings(self) -> StreamSettings:
        """What the stream was begun with."""
        return self._settings

    def append(
        self,
        frame: np.ndarray,
        *,
        stamp_ns: int | None = None,
        stamp: float | None = None,
        frame_id: str = '',
    ) -> list[WatchEvent]:
        """Append one frame.

        It is prefilled with its chunk (``settings.chunk_frames``); then the watches are scored.
        A frame whose stamp is a little older than the newest is left out and counted
        (``info().late_frames``); an even older one begins a new epoch (``late_tolerance``).

        Args:
            frame: RGB uint8 [height, width, 3].
            stamp_ns, stamp: its time in nanoseconds, or in seconds.  Neither: it comes
                1 / ``settings.sample_rate`` after the last one.
            frame_id: passed through to the answers.

        Returns:
            The watches whose answer has changed, as events in their order.

        Raises:
            StreamError: INVALID_REQUEST for what is not an image, a time or a frame_id, or a
                stamp too far ahead (``max_gap``).  OUT_OF_MEMORY; the cache is full.  BUSY; an
                ``AnswerStream`` is in the way.

        """
        time = stamp_of(stamp_ns, stamp)

        def work(engine: VideoStreamingInference) -> list[WatchEvent]:
            engine.append_frame(frame, time, frame_id)
            try:
                return engine.score_watches()
            except (StreamError, torch.OutOfMemoryError) as error:
                # The frame is in the stream, so this must not look as if it was not.
                LOG.warning('The watches were not scored after this chunk: %s', error)
                return []

        return self._turns.run(work, changes=True)

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 128,
        update_state: bool = False,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
        generation: Generation = '',
        sample: bool = False,
        temperature: float = 0.0,
        top_p: float = 0.0,
        top_k: int = 0,
        min_p: float = 0.0,
        repetition_penalty: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """Answer a question about what its view shows, which is everything seen so far.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: keep question and answer in the stream; False leaves it as it was.  The
                stream does not change until then: frames of other threads wait.
            view: what it looks at: 'memory', 'now', 'memory_and_now', or a ``View``.
            return_frames: give the frames that were read for it (``Answer.images``).
            sample: draw tokens at random; False takes the most probable ones.
            generation, temperature, top_p, top_k, min_p, repetition_penalty, seed: how tokens are
                chosen; see ``AnswerSettings``.  Where they are 0, the model's folder says it.

        Returns:
            The answer; ``text, metrics = vlm.ask(...)`` unpacks it.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, OUT_OF_MEMORY, or BUSY (``open_views``);
                RESET_DURING_ANSWER or NOT_ACTIVE if another thread ends the stream.

        """
        settings = AnswerSettings(
            generation, sample, temperature, top_p, top_k, min_p, repetition_penalty, seed
        )
        opened = self._begin(
            question, max_new_tokens, update_state, settings, view, return_frames, True
        )
        with opened as answer:
            return answer.finish()

    def stream_answer(
        self,
        question: str,
        *,
        max_new_tokens: int = 128,
        update_state: bool = False,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
        generation: Generation = '',
        sample: bool = False,
        temperature: float = 0.0,
        top_p: float = 0.0,
        top_k: int = 0,
        min_p: float = 0.0,
        repetition_penalty: float = 0.0,
        seed: int = 0,
    ) -> AnswerStream:
        """Answer a question as ``ask`` does, piece by piece: an iterator of text.

        Frames may be appended between two pieces, except with ``update_state``.  Closing the
        iterator early cancels the answer.  While it is read, calls that would have to change what
        it reads raise BUSY or OUT_OF_MEMORY.

        """
        settings = AnswerSettings(
            generation, sample, temperature, top_p, top_k, min_p, repetition_penalty, seed
        )
        return self._begin(
            question, max_new_tokens, update_state, settings, view, return_frames, False
        )

    def ask_choice(
        self,
        question: str,
        choices: Sequence[str],
        *,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
    ) -> Choice:
        """Choose the most probable of 2 to 26 choices; nothing is decoded.

        ``view`` and ``return_frames`` are those of ``ask``, and so are the errors.
        """
        return self._turns.run(
            lambda engine: engine.ask_choice(
                question, choices, view=view, return_frames=return_frames
            ),
            asks=True,
        )

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
        """Ask a question from now on after every chunk; ``append`` returns what has changed.

        Args:
            question: what to ask.
            choices: 2 to 26 different texts.
            threshold: probability that a new answer needs, above 0 and at most 1.
            hold: chunks in a row for which it needs it.
            name: what its events are called; empty: ``watch_1``, ...
            view: what it looks at; frames that are read afresh cost their tokens at every chunk.

        Returns:
            The watch, with its name.  If it raises a StreamError, nothing was added.

        """
        return self._turns.run(
            lambda engine: engine.watch(
                question, choices, threshold=threshold, hold=hold, name=name, view=view
            )
        )

    def unwatch(self, name: str) -> None:
        """Remove a standing question; StreamError INVALID_REQUEST if there is none so called."""
        self._turns.run(lambda engine: engine.unwatch(name))

    def watches(self) -> tuple[Watch, ...]:
        """Return the standing questions as they stand, in the order they were added."""
        return self._turns.run(lambda engine: engine.watches())

    def snapshot(self) -> Snapshot:
        """Return the whole state of the stream at this moment; no byte of the cache is copied."""
        return self._turns.run(lambda engine: engine.snapshot())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; what follows is as if nothing had been done since.

        Raises:
            StreamError: INVALID_REQUEST; it is not possible, for the reason it says.

        """
        self._turns.run(lambda engine: engine.restore(snapshot), changes=True)

    def save(self, path: str | os.PathLike[str]) -> SavedStream:
        """Write the stream to a file, which is replaced as a whole or not at all.

        Watches are not part of it.  The stream is copied in the host's memory first; while the
        copy is written, calls of other threads go on.

        Raises:
            StreamError: NO_FRAMES, FILE_ERROR, or OUT_OF_MEMORY; the copy does not fit.

        """
        copy = self._turns.run(lambda engine: engine.saver.copy())
        return write_stream(path, copy)

    def load(self, path: str | os.PathLike[str]) -> SavedStream:
        """Replace the stream by a saved one and go on with that; open answers end.

        While the file is read and checked, calls of other threads go on.

        Raises:
            StreamError: FILE_ERROR or OUT_OF_MEMORY; the stream is then as it was.

        """
        bounds = self._turns.run(lambda engine: engine.saver.bounds)
        loaded = read_stream(path, bounds)
        return self._turns.run(lambda engine: engine.go_on_with(loaded), changes=True)

    def reset(self) -> None:
        """Forget what was seen and begin a new epoch; watches stay, open answers end."""
        self._turns.run(lambda engine: engine.reset(), changes=True)

    def info(self) -> CacheInfo:
        """Return what the stream's memory holds."""
        return self._turns.run(lambda engine: engine.get_cache_info())

    def close(self) -> None:
        """Free the cache, and the model if no one else has it; every later call is refused."""
        if self._turns.close() is not None:
            free_device_memory()

    def __enter__(self) -> StreamingVLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(
        self,
        question: str,
        max_new_tokens: int,
        update_state: bool,
        settings: AnswerSettings,
        view: View | ViewName,
        return_frames: bool,
        in_call: bool,
    ) -> AnswerStream:
        return self._turns.ask(
            lambda engine: engine.questions.open(
                question, max_new_tokens, update_state, settings, None, view, return_frames
            ),
            update_state,
            in_call,
        )
