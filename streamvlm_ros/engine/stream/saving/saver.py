# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the owner of a stream does when it is saved, and when a saved one is loaded."""

from __future__ import annotations

import functools

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.stream.saving.bounds import SavedBounds
from streamvlm_ros.engine.stream.saving.fingerprint import fingerprint
from streamvlm_ros.engine.stream.saving.loaded_stream import LoadedStream, put_in_place
from streamvlm_ros.engine.stream.saving.saved_stream import copy_stream, SavedStream, StreamCopy
from streamvlm_ros.engine.stream.stream import FrameStream


class StreamSaver:
    """Copies one stream, and puts a loaded one in its place; its owner's thread alone calls it.

    The files are written and read elsewhere (``saved_stream``, ``loaded_stream``), by any thread.
    """

    def __init__(
        self, model: StreamingModel, prompt: Prompt, stream: FrameStream, settings: StreamSettings
    ) -> None:
        """Save ``stream``."""
        self._model, self._prompt = model, prompt
        self._stream, self._settings = stream, settings

    @functools.cached_property
    def bounds(self) -> SavedBounds:
        """What of a saved stream this one can take; once it is made, any thread may read it."""
        return SavedBounds.of(
            self._stream,
            self._prompt,
            self._settings,
            self._model.position_rule,
            len(self._model.token_table),
            fingerprint(self._model, self._prompt, self._stream.pixels, self._settings),
        )

    @torch.inference_mode()
    def view(self) -> StreamCopy:
        """Return all that is saved, which must be written before the stream changes.

        Raises:
            StreamError: NO_FRAMES; there is nothing to save.

        """
        stream = self._stream
        return copy_stream(stream, stream.clock.time_ns(0, stream.frames), self.bounds)

    @torch.inference_mode()
    def copy(self) -> StreamCopy:
        """Return a copy of all that is saved, in the host's memory.

        Raises:
            StreamError: NO_FRAMES; there is nothing to save.  OUT_OF_MEMORY.

        """
        return self.view().held()

    def put_in_place(self, loaded: LoadedStream) -> SavedStream:
        """Put a stream that was read and checked in the place of what this one holds.

        Raises:
            StreamError: the device fails; the stream is then empty, in an epoch of its own.

        """
        saved = put_in_place(loaded, self._stream)
        self._stream.clock.resume(self._stream.frames, saved.next_ns)
        return saved
