# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The answers of a random model after a stream whose cache is rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import itertools
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmark.exactness.random_models import QUESTIONS
from benchmark.quantization import biased_model
from benchmark.quantization.rounded_cache import Largest, Rounding, stored, WAYS
from streamvlm_ros.engine import StreamQwenModel, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.kvcache.contexts import BranchContext, pieces_of
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.ops.rotary import Rotation
from streamvlm_ros.engine.questions.branch import Branch
from streamvlm_ros.engine.runner.model_runner import ModelRunner

SIDE, FRAMES, TOKENS = 224, 24, 64


class Asked:
    """A stream of noise that a model has seen, and three questions after it."""

    def __init__(self, model: StreamQwenModel, processor: StreamProcessor) -> None:
        """Stream."""
        engine = VideoStreamingInference(
            model,
            processor,
            settings=StreamSettings(sample_rate=0.0, chunk_frames=4, capacity=2048),
        )
        rng = np.random.default_rng(2)
        for number in range(FRAMES):
            engine.append_frame(
                rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), number * 250_000_000
            )
        self._model, self._stream = model, engine.stream
        self._questions = [processor.tokenizer.encode(question) for question in QUESTIONS]

    @torch.inference_mode()
    def answers(self) -> list[list[int]]:
        """Return the greedy answers, of TOKENS tokens."""
        return [self._answer(question) for question in self._questions]

    def _answer(self, question: list[int]) -> list[int]:
        branch = Branch(self._model, self._stream.cache, self._stream.state)
        tokens = [int(branch.prefill(question).argmax())]
        while len(tokens) < TOKENS:
            tokens.append(int(branch.prefill(tokens[-1:]).argmax()))
        branch.close()
        return tokens

    @torch.inference_mode()
    def logits(self, answers: Sequence[list[int]]) -> torch.Tensor:
        """Return logits [questions, TOKENS, vocabulary], each after all tokens before it."""
        found = []
        for question, answer in zip(self._questions, answers):
            branch = Branch(self._model, self._stream.cache, self._stream.state)
            ids = [*question, *answer[:-1]]
            positions, _ = self._model.position_rule.place(branch.state, ids, [])
            logits = ModelRunner.of(self._model).prefill(
                ids, positions, branch.context, keep=range(len(question) - 1, len(ids))
            )
            branch.close()
            assert logits is not None
            found.append(logits)
        return torch.stack(found)


def random(drawn: tuple[float, int], query: float, slowest: int) -> dict[str, Any]:
    """Return a model's logits and tokens for each way of rounding.

    Args:
        drawn: the deviation of the key biases, and the number of the draw.
        query: see ``biased_model.set_biases``.
        slowest: see there.

    """
    model, processor = biased_model.build()
    biased_model.set_biases(model, *drawn, query, slowest)
    largest = Largest()
    with stored(largest), keys_seen() as seen:
        asked = Asked(model, processor)
        answers = asked.answers()
        full = asked.logits(answers)
    keys = torch.cat(seen)
    case: dict[str, Any] = {
        'bias': drawn[0],
        'draw': drawn[1],
        'largest key': max(largest.keys.values()),
        'keys seen': float(keys.median()),
        'fewest seen': float(keys.min()),
        'tokens': full[..., 0].numel(),
        'different tokens': len({*itertools.chain(*answers)}),
        'ways': {},
    }
    for name, formats in WAYS.items():
        rounding = Rounding(*formats, largest)
        with stored(rounding):
            logits = Asked(model, processor).logits(answers)
        first = (logits - full)[:, 0].norm() / full[:, 0].norm()
        case['ways'][name] = {
            'logit error': float(first),
            'tokens same': int((logits.argmax(-1) == full.argmax(-1)).sum()),
            'saturated': rounding.saturated,
        }
    print(case, flush=True)
    return case


@contextlib.contextmanager
def keys_seen() -> Iterator[list[torch.Tensor]]:
    """Record how many keys the last tokens of questions and answers look at in biased layers.

    Yields:
        What is noted, [heads] a layer and pass: the exponential of the entropy of the attention's
        weights, which is 1 for one key alone and s for s keys alike.

    """
    attend = BranchContext.attend
    noted: list[torch.Tensor] = []

    def noting(
        context: BranchContext, layer: int, qkv: torch.Tensor, rotation: Rotation
    ) -> torch.Tensor:
        result = attend(context, layer, qkv, rotation)
        if layer in biased_model.BIASED and context.tree is None:
            query, fresh, _ = rotation.split(qkv, context.tail.kv_heads)
            own, _ = context.tail.view(layer, 0, context.tail.length + fresh.shape[1])
            keys = torch.cat(
                [*(piece[0] for piece in pieces_of(context.prefixes, layer)), own], dim=1
            )
            rows = query[:, -1].view(len(keys), -1, query.shape[-1])
            weights = (rows @ keys.mT * query.shape[-1] ** -0.5).softmax(-1)
            noted.append(torch.special.entr(weights).sum(-1).exp().flatten())
        return result

    with mock.patch.object(BranchContext, 'attend', noting):
        yield noted
