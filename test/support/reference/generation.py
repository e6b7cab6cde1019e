# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random cases of generation settings: answers streamed, and by stock ``generate``."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from typing import Any

from support.models.random_models import PIXELS, processor, random_clip, random_model, SHAPES
from support.reference.offline import Grid, reference_positions, stock_model
import torch
from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.questions.questions import Questions

SIZES = ((56, 56), (84, 56), (56, 112), (120, 90))
QUESTIONS = ('What happened?', 'Where is the light now?', 'And before that?')
BEFORE = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
ASSISTANT = '<|im_end|>\n<|im_start|>assistant\n'
NEXT = '<|im_end|>\n<|im_start|>user\n'
TOKENS = 10
# Those of Qwen2.5-VL's folders, of Qwen3-VL's, and others.
FOLDERS: tuple[dict[str, Any], ...] = (
    {'do_sample': True, 'temperature': 1e-6, 'repetition_penalty': 1.05},
    {'repetition_penalty': 1.05},
    {'do_sample': True, 'temperature': 0.7, 'top_p': 0.8, 'top_k': 20, 'repetition_penalty': 1.0},
    {'repetition_penalty': 1.5},
    {'do_sample': True, 'temperature': 1.3, 'min_p': 0.02, 'repetition_penalty': 1.2},
    {'do_sample': True},
    {'repetition_penalty': 0.8},
    {'do_sample': True, 'top_p': 0.6, 'top_k': 0, 'min_p': 0.1, 'temperature': 0.9},
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A clip, a folder's settings, and what is asked.

    Attributes:
        shape: of the random model.
        chunk: frames of a chunk.
        count, size: of the frames.
        stamps: of the frames, in seconds.
        folder: what generation_config.json says.
        sample: whether tokens are drawn.
        questions: asked one after the other; all but the last are kept in the stream.
        seed: of the clip and of the draws.

    """

    shape: str
    chunk: int
    count: int
    size: tuple[int, int]
    stamps: list[float]
    folder: dict[str, Any]
    sample: bool
    questions: tuple[str, ...]
    seed: int

    @classmethod
    def random(cls, seed: int) -> Case:
        """Return the case of a seed; every folder and shape comes again and again."""
        rng = random.Random(seed)
        count = 2 * rng.randint(1, 8)
        stamps = list(itertools.accumulate(rng.choice((0.125, 0.5, 1.0)) for _ in range(count)))
        folder = FOLDERS[seed % len(FOLDERS)]
        return cls(
            list(SHAPES)[seed % len(SHAPES)],
            rng.choice((2, 4, 6, 8)),
            count,
            rng.choice(SIZES),
            stamps,
            folder,
            bool(folder.get('do_sample')) and rng.random() < 0.8,
            QUESTIONS[: rng.choice((1, 1, 2, 3))],
            seed,
        )


def streamed(case: Case) -> list[list[int]]:
    """Return the tokens of each answer of a stream, with the draws of the case's seed."""
    engine = VideoStreamingInference(
        random_model(case.shape), processor(), settings=StreamSettings(chunk_frames=case.chunk)
    )
    said = GenerationSettings.of({'eos_token_id': _stop(), **case.folder})
    questions = Questions(
        _Says(engine.model, said),  # type: ignore[arg-type]
        engine.questions._prompt,
        engine.stream,
        engine.questions.views,
    )
    for frame, stamp in zip(random_clip(case.seed, case.count, *case.size), case.stamps):
        engine.append_frame(frame, stamp)
    answers = []
    for number, question in enumerate(case.questions):
        settings = AnswerSettings(sample=case.sample, seed=case.seed + number)
        keep = number + 1 < len(case.questions)
        sequence = questions.open(question, TOKENS, keep, settings)
        while not sequence.ended:
            questions.decode([sequence])
        answers.append(list(sequence.tokens))
        questions.close(sequence)
    return answers


def offline(case: Case, answers: list[list[int]]) -> list[list[int]]:
    """Return what stock ``generate`` says to each question, after the answers before it."""
    patches, grid = to_patches(
        random_clip(case.seed, case.count, *case.size), PIXELS, torch.device('cpu')
    )
    video = ((grid.t, grid.h, grid.w), case.stamps[::2])
    pads = '<|video_pad|>' * math.prod(grid)
    ids = _ids(f'{BEFORE}<|vision_start|>{pads}<|vision_end|>{case.questions[0]}{ASSISTANT}')
    config = GenerationConfig(
        **{**case.folder, 'do_sample': case.sample},
        max_new_tokens=TOKENS,
        eos_token_id=_stop(),
        pad_token_id=_stop(),
        use_cache=False,
    )
    stock = Placed(case.shape, video, patches)
    found = []
    for number, answer in enumerate(answers):
        torch.manual_seed(case.seed + number)
        found.append(stock.generate(ids, config))
        if number + 1 < len(answers):
            drawn = answer[:-1] if answer[-1] == _stop() else answer
            ids = [*ids, *drawn, *_ids(NEXT + case.questions[number + 1] + ASSISTANT)]
    return found


class Placed:
    """Stock transformers, whose every forward gets the whole prompt and written-out positions."""

    def __init__(self, shape: str, video: tuple[Grid, list[float]], patches: torch.Tensor) -> None:
        """Take one video."""
        self._stock, self._video, self._patches = stock_model(shape), video, patches

    @torch.no_grad()
    def generate(self, ids: list[int], config: GenerationConfig) -> list[int]:
        """Return the new tokens of stock ``generate``."""
        stock, plain = self._stock, Qwen2_5_VLForConditionalGeneration.forward

        def forward(input_ids: torch.Tensor, **_: Any) -> Any:
            return plain(stock, **self._inputs(input_ids[0].tolist()))

        stock.forward = forward
        try:
            out = stock.generate(
                torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                generation_config=config,
            )
        finally:
            del stock.forward
        return out[0, len(ids) :].tolist()

    def _inputs(self, ids: list[int]) -> dict[str, Any]:
        config = self._stock.config
        positions = reference_positions(
            ids, [self._video], config.video_token_id, config.vision_config.tokens_per_second
        )
        (t, h, w), _ = self._video
        return {
            'input_ids': torch.tensor([ids]),
            'position_ids': positions[:, None],
            'attention_mask': torch.ones(1, len(ids), dtype=torch.long),
            'pixel_values_videos': self._patches,
            'video_grid_thw': torch.tensor([[t, 2 * h, 2 * w]]),
            'use_cache': False,
        }


class _Says:
    """A model with other generation settings; all else is the model's."""

    def __init__(self, model: Any, generation: GenerationSettings) -> None:
        self._model, self.generation = model, generation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _ids(text: str) -> list[int]:
    return processor().tokenizer.encode(text, add_special_tokens=False)


def _stop() -> int:
    return _ids('<|im_end|>')[0]
