# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of lines of text by their meaning, out of a sentence model."""

from __future__ import annotations

from collections.abc import Sequence
import hashlib
import json
import os
import pathlib
import threading
from typing import Any

import numpy as np

from streamvlm_ros import checks
from streamvlm_ros.search.moments import refuse

MEAN = 'pooling_mode_mean_tokens'
BATCH = 32  # lines of one pass
SAMPLES = 16  # values of every weight that go into the fingerprint


class SentenceEmbedder:
    """Makes vectors of length 1 with a model in the layout of sentence-transformers.

    Lines and questions are embedded alike. Any thread may call any method.

    Attributes:
        fingerprint: of the model.
        dimensions: numbers of a vector.

    """

    def __init__(self, folder: str | os.PathLike[str], device: str = 'cpu') -> None:
        """Load a model with transformers; nothing is fetched.

        Args:
            folder: with config.json, the weights, the tokenizer's files, and
                1_Pooling/config.json, which has to ask for the mean over tokens.
            device: where it runs.

        Raises:
            StreamError: INVALID_REQUEST; it is not there, cannot be read, or pools otherwise.

        """
        # These take seconds, and only this embedder needs them.
        import torch
        from transformers import AutoModel, AutoTokenizer

        path = pathlib.Path(folder)
        try:
            pooling = json.loads((path / '1_Pooling' / 'config.json').read_text(encoding='utf-8'))
            self._model: Any = AutoModel.from_pretrained(path, local_files_only=True)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            refuse(f'The sentence model {path} cannot be loaded: {error}')
        if not isinstance(pooling, dict) or pooling.get(MEAN) is not True:
            refuse(f'The sentence model {path} does not take the mean over tokens ({MEAN}).')
        self._model.to(device).eval()
        self._torch, self._device, self._lock = torch, device, threading.Lock()
        self._most = min(
            self._tokenizer.model_max_length, self._model.config.max_position_embeddings
        )
        state = hashlib.sha256(self._model.config.model_type.encode())
        for weights in self._model.parameters():
            flat = weights.detach().reshape(-1)
            some = flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES]
            state.update(some.float().cpu().numpy().tobytes())
        self.fingerprint = f'sentences {state.hexdigest()[:16]}'
        self.dimensions = int(self._model.config.hidden_size)

    def lines(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of lines, float32 [len(texts), dimensions].

        What is longer than the model reads is cut.

        Raises:
            StreamError: INVALID_REQUEST; a line is no text.

        """
        lines = [checks.text('line', text) for text in texts]
        parts = [self._batch(lines[at : at + BATCH]) for at in range(0, len(lines), BATCH)]
        return np.concatenate([np.empty((0, self.dimensions), np.float32), *parts])

    def question(self, question: str) -> np.ndarray:
        """Return a question's vector, float32 [dimensions].

        Raises:
            StreamError: INVALID_REQUEST; it is no text, or empty.

        """
        question = checks.text('question', question).strip()
        if not question:
            refuse('The question is empty; ask something.')
        vector: np.ndarray = self.lines([question])[0]
        return vector

    def _batch(self, lines: list[str]) -> np.ndarray:
        inputs = self._tokenizer(
            lines, padding=True, truncation=True, max_length=self._most, return_tensors='pt'
        ).to(self._device)
        with self._lock, self._torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state.float()
        mask = inputs['attention_mask'].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        rows: np.ndarray = self._torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return rows
