# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model run on one GPU: passes over static buffers, captured as graphs and replayed.

They give what the model gives when it is run directly on the same context.  What kernels cannot
do (a context on several devices, a cache in very many pieces) is left to that.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from streamvlm_ros.engine.config import MAX_BATCH
from streamvlm_ros.engine.kvcache.cache import KVContext
from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, SequenceMetadata
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.runner.cuda_graphs import GraphRunner
from streamvlm_ros.engine.runner.passes import DecodePass, EncoderPass, padded, PrefillPass
from streamvlm_ros.engine.runner.penalties import Penalty

BATCHES = (1, 2, 4, 8, MAX_BATCH)


class DevicePasses:
    """The passes of one model on one GPU.

    Attributes:
        graphs: keeps the passes and their captured graphs.
        batches: numbers of branches for which there are decode passes.

    """

    def __init__(self, model: StreamingModel) -> None:
        """Make passes of ``model`` as they are needed; it must outlive them."""
        self._model = model
        self.graphs = GraphRunner()
        self.batches = BATCHES
        self._begun: torch.cuda.Event | None = None
        self._decoding: tuple[Hashable, DecodePass] | None = None  # what was loaded last

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Encode patches; see ``EncoderPass``.  The next call writes over what is returned."""
        key = 'vision', grid
        work = self.graphs.work(key, lambda: EncoderPass(self._model, patches.shape, grid))
        work.patches.copy_(patches)
        self._run(key)
        assert work.embeddings is not None
        return work.embeddings

    @torch.inference_mode()
    def prefill(
        self,
        ids: Sequence[int],
        positions: torch.Tensor,
        context: KVContext,
        video: torch.Tensor | None,
        keep: Sequence[int],
        wanted: Sequence[int] = (),
    ) -> tuple[bool, torch.Tensor | None]:
        """Prefill one sequence's tokens; see ``ModelRunner.prefill``.

        A chunk with video first waits until the device has begun the chunk before it, so that the
        host is never more than one chunk ahead of the device.

        Returns:
            Whether kernels could do it, and the logits or log-probabilities.

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
        work = self.graphs.work(key, lambda: PrefillPass(self._model, tokens, kept, *kind))
        work.load(ids, positions, table, keep, video, wanted)
        self._run(key)
        context.advance(len(ids))
        # A copy: the next run of this pass writes over it.
        return True, None if work.logits is None else work.logits[: len(keep)].clone()

    @torch.inference_mode()
    def decode(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        table: BatchMetadata,
        penalties: Sequence[Penalty | None] = (),
    ) -> torch.Tensor:
        """Launch one new token of every branch; see ``decode_next``.

        Args:
            ids: each branch's last token.
            positions: where it stands.
            table: what they see, and where keys and values go.
            penalties: each one's repetition penalty; None, or nothing at all: it has none.

        """
        vocabulary = next((len(each[0]) for each in penalties if each is not None), 0)
        batch = next(size for size in BATCHES if len(ids) <= size)
        # Another pass where no branch has a penalty, which then costs nothing.
        key = 'batch', batch, vocabulary > 0
        work = self.graphs.work(key, lambda: DecodePass(self._model, batch, vocabulary))
        work.load(ids, positions, table, penalties)
        self._decoding = key, work
        return self.decode_next(len(ids))

    @torch.inference_mode()
    def decode_next(self, branches: int) -> torch.Tensor:
        """Launch the next token of the same branches, from what the last launch gave.

        Returns:
            Int64 [branches], the most probable tokens, on the device.  The next launch writes
            over them.

        """
        assert self._decoding is not None
        key, work = self._decoding
        self.graphs.work(key, lambda: work)
        self._run(key)
        return work.tokens[:branches]

    def _run(self, key: Hashable) -> None:
        # Kernels are launched and recorded on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(self._model.token_table):
            self.graphs.run(key)
