# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a model is run: on one GPU by passes that it replays, otherwise directly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import threading
from typing import Generic, TYPE_CHECKING, TypeVar
import weakref

import torch

from streamvlm_ros.engine.kvcache.cache import KVContext
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.ops.likelihood import log_probabilities
from streamvlm_ros.engine.positions import Grid

if TYPE_CHECKING:
    from streamvlm_ros.engine.runner.device_passes import DevicePasses

Made = TypeVar('Made')


class PerModel(Generic[Made]):
    """One object for each model, made when it is first asked for.

    It lives as long as its model and must refer to it weakly, or neither would ever be freed.
    """

    def __init__(self, make: Callable[[StreamingModel], Made]) -> None:
        """Make objects with ``make``."""
        self._make = make
        self._made: weakref.WeakKeyDictionary[StreamingModel, Made] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, model: StreamingModel) -> Made:
        """Return the one object of a model; any thread may ask."""
        with self._lock:
            made = self._made.get(model)
            if made is None:
                made = self._made[model] = self._make(model)
            return made


class ModelRunner:
    """Runs one model for every stream over it.

    It lives as long as the model, so that streams that come later find the passes recorded.

    Attributes:
        model: the model, held weakly; its users hold it.

    """

    def __init__(self, model: StreamingModel) -> None:
        """Run ``model``; ``of`` is what gives every stream the same runner."""
        # A strong reference would keep the model in memory forever: see ``PerModel``.
        self.model: StreamingModel = weakref.proxy(model)  # type: ignore[assignment]
        self._passes: DevicePasses | None = None
        self._weights_version = -1  # of the weights that the passes are over

    @staticmethod
    def of(model: StreamingModel) -> ModelRunner:
        """Return the one runner of a model."""
        return _RUNNERS.of(model)

    @property
    def passes(self) -> DevicePasses | None:
        """The passes that a GPU replays; None: the model is run directly."""
        version = self.model.weights_version
        if version != self._weights_version:
            self._passes = None
            if self.model.fits_kernels:
                # Imported here because it needs Triton, which is there only with a GPU.
                from streamvlm_ros.engine.runner.device_passes import DevicePasses

                self._passes = DevicePasses(self.model)
            self._weights_version = version
        return self._passes

    @passes.setter
    def passes(self, passes: DevicePasses | None) -> None:
        """Run the model by these passes, or directly, until its weights change."""
        self._passes, self._weights_version = passes, self.model.weights_version

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Encode temporal patches; see ``StreamingModel.encode_video``."""
        passes = self.passes
        if passes is None:
            return self.model.encode_video(patches, grid)
        # A copy: the next run of this pass writes over it.
        return passes.encode(patches, grid).clone()

    def prefill(
        self,
        ids: Sequence[int],
        positions: torch.Tensor,
        context: KVContext,
        video: torch.Tensor | None = None,
        keep: Sequence[int] = (),
        wanted: Sequence[int] = (),
    ) -> torch.Tensor | None:
        """Prefill tokens of one sequence into a context.

        Args:
            ids: of the tokens.
            positions: int64 [3, n].
            context: where keys and values go, and what is seen; not several branches.
            video: embeddings of the video tokens among them.
            keep: tokens whose logits are returned; the same token may occur several times.
            wanted: for every kept token, the token whose log-probability after it is returned
                instead of logits.

        Returns:
            Float32 logits [len(keep), vocabulary], with ``wanted`` log-probabilities [len(keep)];
            None where ``keep`` is empty.

        """
        passes, model = self.passes, self.model
        if passes is not None:
            done, logits = passes.prefill(ids, positions, context, video, keep, wanted)
            if done:
                return logits
        hidden = model.prefill(model.embed(ids, video), positions, context)
        if not keep:
            return None
        kept = hidden[list(keep)]
        if not wanted:
            return model.logits(kept)
        return log_probabilities(model.logits, kept, torch.tensor(wanted))

    def decode(
        self, ids: Sequence[int], positions: torch.Tensor, context: KVContext
    ) -> torch.Tensor:
        """Run one new token of each of several branches, directly.

        Projections and MLPs run on all tokens at once, attention on each one's own branch, so
        that an answer is what it would be alone.

        Args:
            ids: the new token of every branch.
            positions: int64 [3, branches].
            context: of the branches.

        Returns:
            Float32 logits [branches, vocabulary].

        """
        return self.model.logits(self.model.prefill(self.model.embed(ids), positions, context))


_RUNNERS = PerModel(ModelRunner)
