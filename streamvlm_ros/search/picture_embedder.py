# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of pictures and texts out of a SigLIP or CLIP model."""

from __future__ import annotations

from collections.abc import Sequence
import hashlib
import os
import threading
from typing import Any

import numpy as np

from streamvlm_ros import checks
from streamvlm_ros.errors import ErrorCode, StreamError

KINDS = ('clip', 'siglip', 'siglip2')  # config.json's model_type
SAMPLES = 16  # values of every weight that go into the fingerprint


class PictureEmbedder:
    """Makes vectors with a model that was trained on pictures and their captions.

    See ``Embedder``. A moment's vector is the mean of its pictures'; all have length 1. Any thread
    may call any method.

    Attributes:
        fingerprint: of the model.
        dimensions: numbers of a vector.

    """

    def __init__(self, model: str | os.PathLike[str], device: str = 'cpu') -> None:
        """Load a model with transformers.

        Args:
            model: a folder in the published layout, or a hub id.
            device: where it runs.

        Raises:
            StreamError: INVALID_REQUEST; it is not there, cannot be read, or is of another kind.

        """
        # These take seconds, and only this embedder needs them.
        import torch
        from transformers import AutoConfig, AutoModel, AutoProcessor

        name = os.fspath(model)
        try:
            config = AutoConfig.from_pretrained(name)
            if config.model_type in KINDS:
                self._model: Any = AutoModel.from_pretrained(name).to(device).eval()
                self._processor: Any = AutoProcessor.from_pretrained(name)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            _refuse(f'The embedder {name} cannot be loaded: {error}')
        if config.model_type not in KINDS:
            _refuse(
                f'The embedder {name} is of the kind {config.model_type!r:.80}; choose a model of '
                f'one of {", ".join(KINDS)}.'
            )
        self._torch, self._device = torch, device
        self._lock = threading.Lock()
        text = config.text_config
        # SigLIP was trained on texts that are padded to its length, CLIP was not.
        self._padding = {
            'padding': 'max_length' if config.model_type != 'clip' else True,
            'truncation': True,
            'max_length': text.max_position_embeddings,
        }
        state = hashlib.sha256(config.model_type.encode())
        for weights in self._model.parameters():
            flat = weights.detach().reshape(-1)
            some = flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES]
            state.update(some.float().cpu().numpy().tobytes())
        self.fingerprint = f'{config.model_type} {state.hexdigest()[:16]}'
        self.dimensions = len(self.question('a picture'))

    def pictures(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """See ``Embedder``."""
        if not len(frames):
            _refuse('A moment has no frame; give at least one.')
        for frame in frames:
            array = np.asarray(frame)
            if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
                _refuse(
                    'A frame must be an RGB uint8 array [height, width, 3], not '
                    f'{array.dtype} {list(array.shape)}.'
                )
        inputs = self._processor(images=list(frames), return_tensors='pt')
        with self._lock, self._torch.inference_mode():
            vectors = self._rows(
                self._model.get_image_features(
                    pixel_values=inputs['pixel_values'].to(self._device)
                )
            )
        return _unit(vectors.mean(axis=0))

    def question(self, question: str) -> np.ndarray:
        """See ``Embedder``."""
        question = checks.text('question', question).strip()
        if not question:
            _refuse('The question is empty; ask something.')
        inputs = self._processor(text=[question], return_tensors='pt', **self._padding)
        with self._lock, self._torch.inference_mode():
            inputs = {name: value.to(self._device) for name, value in inputs.items()}
            [vector] = self._rows(self._model.get_text_features(**inputs))
        return _unit(vector)

    @staticmethod
    def _rows(output: Any) -> np.ndarray:
        """Return float32 [n, dimensions] of length 1; releases differ in what holds them."""
        rows = getattr(output, 'pooler_output', output).float().cpu().numpy()
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)


def _refuse(sentence: str) -> None:
    raise StreamError(ErrorCode.INVALID_REQUEST, sentence)
