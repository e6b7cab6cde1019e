# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU's way through the decoder: passes over static buffers, recorded and replayed.

It gives what ``StreamQwenModel.prefill`` gives on the same context; where kernels cannot do
something (several devices, a very broken-up cache) that is the way to go.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TYPE_CHECKING

import torch

from streamvlm_ros.engine.kvcache.cache import KVContext
from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, SequenceMetadata
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.runner.cuda_graphs import GraphRunner
from streamvlm_ros.engine.runner.encoder_pass import EncoderPass
from streamvlm_ros.engine.runner.passes import DecodePass, padded, PrefillPass

if TYPE_CHECKING:
    from streamvlm_ros.engine.models.qwen2_5_vl.model import StreamQwenModel

BATCHES = (1, 2, 4, 8, 16)


class ModelRunner:
    """The passes of one model on one GPU.

    Attributes:
        recorder: keeps them and their recordings.
        batches: for how many branches passes are made.

    """

    def __init__(self, model: StreamQwenModel) -> None:
        """Make none yet."""
        self._model = model
        self.recorder = GraphRunner()
        self.batches = BATCHES
        self._begun: torch.cuda.Event | None = None

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Encode frames; see ``EncoderPass``.  What is returned holds until the next call."""
        key = 'vision', grid
        work = self.recorder.work(key, lambda: EncoderPass(self._model, frames, grid))
        work.frames.copy_(frames)
        self._run(key)
        assert work.embeddings is not None
        return work.embeddings

    @torch.inference_mode()
    def sequence(
        self,
        ids: Sequence[int],
        positions: torch.Tensor,
        context: KVContext,
        video: torch.Tensor | None,
        keep: Sequence[int],
        wanted: Sequence[int] = (),
    ) -> tuple[bool, torch.Tensor | None]:
        """Prefill one sequence's tokens; see ``StreamQwenModel.extend``.

        With video, waits until the device is where the last one with video began, so that it is
        never more than one chunk behind the host.

        Returns:
            Whether kernels could do it, and the logits, or what was wanted of them.

        """
        if video is not None and video.is_cuda:
            if self._begun is not None:
                self._begun.synchronize()
            self._begun = torch.cuda.current_stream(video.device).record_event()
        context.reserve(len(ids))
        table = context.table(len(ids))
        if not isinstance(table, SequenceMetadata):
            return False, None
        tokens, kept = padded(len(ids)), -(-len(keep) // 8) * 8 if len(keep) > 1 else len(keep)
        kind = video is not None, table.tree is not None, bool(wanted)
        key = 'sequence', tokens, kept, *kind
        work = self.recorder.work(key, lambda: PrefillPass(self._model, tokens, kept, *kind))
        work.load(ids, positions, table, keep, video, wanted)
        self._run(key)
        context.advance(len(ids))
        # A copy: the next run of this pass writes over it.
        return True, None if work.logits is None else work.logits[: len(keep)].clone()

    @torch.inference_mode()
    def batch(
        self, ids: Sequence[int], positions: Sequence[int], table: BatchMetadata
    ) -> DecodePass:
        """Launch one new token of every branch, and return the pass, which can go on."""
        work = self._batch(len(ids))
        work.load(ids, positions, table)
        self.go_on(len(ids))
        return work

    @torch.inference_mode()
    def go_on(self, branches: int) -> DecodePass:
        """Launch the next token of the same branches, from what the last launch gave."""
        work = self._batch(branches)
        self._run(('batch', work.batch))
        return work

    def _run(self, key: Hashable) -> None:
        # Kernels are launched and recorded on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(self._model.get_input_embeddings().weight):
            self.recorder.run(key)

    def _batch(self, branches: int) -> Any:
        batch = next(size for size in BATCHES if branches <= size)
        return self.recorder.work(('batch', batch), lambda: DecodePass(self._model, batch))
