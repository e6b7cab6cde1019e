# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random models of several shapes: ours, stock in the same number format, and stock in float32."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

from benchmark.common.dimensions import build_model, TEXT, TOY_VISION, VISION
from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import StreamQwenModel, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.positions import StreamState, VideoSpan
from streamvlm_ros.engine.questions.branch import Branch

SHAPES: dict[str, dict[str, Any]] = {
    'as 3B': TEXT['3B'] | {'num_hidden_layers': 4, 'vocab_size': 8192},
    'as 7B': TEXT['7B'] | {'num_hidden_layers': 4, 'vocab_size': 8192},
    'ungrouped': {
        'hidden_size': 1024,
        'num_hidden_layers': 6,
        'num_attention_heads': 8,
        'num_key_value_heads': 8,
        'intermediate_size': 2816,
        'vocab_size': 4096,
        'tie_word_embeddings': True,
    },
    'one kv head': {
        'hidden_size': 768,
        'num_hidden_layers': 8,
        'num_attention_heads': 6,
        'num_key_value_heads': 1,
        'intermediate_size': 2048,
        'vocab_size': 4096,
        'tie_word_embeddings': False,
    },
    'toy': TEXT['toy'],
}
SHORT_VISION = VISION | {'depth': 6, 'fullatt_block_indexes': [2, 5]}
SIZES = ((224, 224), (196, 252))
FRAMES, CHUNK, TOKENS = 32, 4, 50
QUESTIONS = (
    'What happened?',
    'Where is the red box now, and what stands beside it?',
    'Is the light on?',
)
BEFORE = (
    '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
    '<|vision_start|>'
)
BEHIND = '<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n'


class Case:
    """One random model, and what the three make of a clip."""

    def __init__(self, shape: str, device: str, dtype: torch.dtype) -> None:
        """Build the models."""
        vision = TOY_VISION if shape == 'toy' else SHORT_VISION
        self._ours, self._processor = build_model(SHAPES[shape], vision, device, dtype)
        self._encode = self._processor.tokenizer.encode
        pads = [
            self._processor.tokenizer.convert_tokens_to_ids(f'<|{kind}_pad|>')
            for kind in ('video', 'image')
        ]
        with torch.no_grad():
            # No answer of it draws one: stock would take it for a picture.
            self._ours.lm_head.weight[pads] = 0.0
        self._pad = pads[0]
        self._device = torch.device(device)
        self._stock = self._copy(self._ours, dtype)
        self._truth = self._copy(self._ours, torch.float32)

    def show(self, size: tuple[int, int], seed: int = 1) -> None:
        """Draw a clip of frames of this height and width; the rest is about it."""
        rng = np.random.default_rng(seed)
        self._clip = rng.integers(0, 256, (FRAMES, *size, 3), np.uint8)
        self._stamps = [1 + i * 250_000_000 for i in range(FRAMES)]
        self._patches, self._grid = to_patches(
            list(self._clip), self._processor.pixels, self._device
        )

    @staticmethod
    def _copy(model: StreamQwenModel, dtype: torch.dtype) -> Any:
        """Return stock's class with the same weights."""
        with model.device:
            stock = Qwen2_5_VLForConditionalGeneration._from_config(
                model.config, attn_implementation='sdpa', dtype=dtype
            )
        stock.load_state_dict(model.state_dict())
        return stock.eval()

    def logits(self) -> dict[str, float]:
        """Return the errors of questions' first logits, after streamed chunks."""
        engine = self._streamed()
        stream = engine.stream
        errors, norms = torch.zeros(2), 0.0
        for question in QUESTIONS:
            branch = Branch(self._ours, stream.cache, stream.state)
            mine = branch.prefill(self._encode(BEHIND.format(question), add_special_tokens=False))
            branch.close()
            stock, truth = (
                self._forward(model, self._ids(question))[-1]
                for model in (self._stock, self._truth)
            )
            errors += torch.tensor([float((x - truth).square().sum()) for x in (mine, stock)])
            norms += float(truth.square().sum())
        ours, stock = (errors / norms).sqrt().tolist()
        return {'ours': ours, 'stock': stock, 'ratio': ours / stock}

    def _streamed(self) -> VideoStreamingInference:
        """Return an engine that has seen the clip, chunk by chunk."""
        engine = VideoStreamingInference(
            self._ours,
            self._processor,
            settings=StreamSettings(sample_rate=0.0, chunk_frames=CHUNK, capacity=8192),
        )
        for image, stamp in zip(self._clip, self._stamps):
            engine.append_frame(image, stamp)
        return engine

    def answers(self, penalties: Sequence[float] = (1.0,) * len(QUESTIONS)) -> dict[str, int]:
        """Return how many greedy tokens equal those of float32, for one and for several questions.

        Each token is judged after our own tokens before it. A different token is within the noise
        if its float32 score is so close to the best that stock's error could swap the two.

        Args:
            penalties: the repetition penalty of each question's answer, which stock's own
                processor applies to its logits.

        """
        engine = self._streamed()
        names = 'tokens', 'equal', 'within_noise', 'wrong', 'stock_equal', 'as_stock'
        found = dict.fromkeys(names, 0)
        asked = list(zip(QUESTIONS, penalties))
        for each in asked:
            self._judge(engine, [each], found)
        self._judge(engine, asked, found)
        return found

    def _judge(
        self,
        engine: VideoStreamingInference,
        asked: Sequence[tuple[str, float]],
        found: dict[str, int],
    ) -> None:
        opened = [
            engine.questions.open(
                question, TOKENS, settings=AnswerSettings('plain', repetition_penalty=penalty)
            )
            for question, penalty in asked
        ]
        while any(not each.ended for each in opened):
            engine.questions.decode(opened)
        for (question, penalty), each in zip(asked, opened):
            assert each.tokens
            tokens = list(each.tokens)
            engine.questions.close(each)
            ids = [*self._ids(question), *tokens[:-1]]
            truth, stock = (
                self._penalized(self._forward(model, ids)[-len(tokens) :], ids, penalty)
                for model in (self._truth, self._stock)
            )
            noise = 2 * (stock - truth).abs().amax(-1)
            drawn = torch.tensor(tokens, device=truth.device)
            behind = truth.amax(-1) - truth.gather(1, drawn[:, None])[:, 0]
            equal = truth.argmax(-1) == drawn
            found['tokens'] += len(tokens)
            found['equal'] += int(equal.sum())
            found['within_noise'] += int((~equal & (behind <= noise)).sum())
            found['wrong'] += int((~equal & (behind > noise)).sum())
            found['stock_equal'] += int((stock.argmax(-1) == truth.argmax(-1)).sum())
            found['as_stock'] += int((stock.argmax(-1) == drawn).sum())

    def _penalized(self, logits: torch.Tensor, ids: list[int], penalty: float) -> torch.Tensor:
        """Apply stock's processor to logits [n, vocabulary] of the last n ids."""
        if penalty == 1.0:
            return logits
        processor = RepetitionPenaltyLogitsProcessor(penalty)
        first = len(ids) - len(logits) + 1
        return torch.cat(
            [
                processor(self._tensor(ids[: first + index]), logits[index : index + 1])
                for index in range(len(logits))
            ]
        )

    def _ids(self, question: str) -> list[int]:
        return [
            *self._encode(BEFORE, add_special_tokens=False),
            *[self._pad] * math.prod(self._grid),
            *self._encode(BEHIND.format(question), add_special_tokens=False),
        ]

    def _times(self) -> list[int]:
        return self._stamps[::2]

    def _tensor(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([ids], device=self._device)

    def _forward(self, model: Any, ids: list[int]) -> torch.Tensor:
        """Return stock's logits, float32 [n, vocabulary], of the whole prompt at once."""
        part = VideoSpan(self._grid, tuple(self._times()))
        positions, _ = self._ours.position_rule.place(StreamState(), ids, [part])
        size = (self._grid.t, 2 * self._grid.h, 2 * self._grid.w)
        logits: torch.Tensor = model(
            input_ids=self._tensor(ids),
            position_ids=positions[:, None].to(self._device),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long, device=self._device),
            pixel_values_videos=self._patches.to(model.dtype),
            video_grid_thw=torch.tensor([size], device=self._device),
            use_cache=False,
        ).logits
        return logits[0].float()
