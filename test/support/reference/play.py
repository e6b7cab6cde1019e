# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a random stream to the engine and to the reference at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import random
from typing import Any

from support.models.random_models import random_clip, SHAPES
from support.reference.memory import ReferenceStream
from support.streams import stream
import torch

from streamvlm_ros.engine import VideoStreamingInference


@dataclasses.dataclass(frozen=True)
class Family:
    """What is played to.

    Attributes:
        stream: makes an engine, of a shape and settings.
        reference: makes what it is held to; its arguments are ``ReferenceStream``'s.
        shapes: names of random models.
        sizes: heights and widths of frames.
        capacities: tokens that the caches have.

    """

    stream: Callable[..., VideoStreamingInference]
    reference: Callable[..., ReferenceStream]
    shapes: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    capacities: Sequence[int]


FIRST = Family(
    stream, ReferenceStream, list(SHAPES), ((56, 56), (84, 56), (56, 112)), (110, 140, 200)
)


def answer_of(
    engine: Any, question: str, tokens: int, keep: bool
) -> tuple[list[int], torch.Tensor]:
    """Return an answer's tokens and the first one's logits."""
    seen: list[torch.Tensor] = []
    logits = engine.model.logits

    def spy(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(logits(hidden))
        return seen[-1]

    engine.model.logits = spy
    try:
        opened = engine.questions.open(question, tokens, keep)
    finally:
        del engine.model.logits
    while not opened.ended:
        engine.questions.decode([opened])
    engine.questions.close(opened)
    return opened.tokens, seen[0][-1]


def run_case(
    seed: int, rebase_position: int = 0, shape: str = '', family: Family = FIRST
) -> tuple[ReferenceStream, int]:
    """Play a random stream to the engine and the reference; return it and how many answers."""
    rng = random.Random(seed)
    shape, mode = shape or family.shapes[seed % 3], ('continuous', 'append')[seed % 2]
    chunk = rng.choice((2, 4, 6))
    capacity, kept_turns = rng.choice(family.capacities), rng.choice((1, 2))
    seconds = rng.choice((0, 0, 3.0, 6.0))
    engine = family.stream(
        shape,
        position_mode=mode,
        chunk_frames=chunk,
        capacity=capacity,
        memory_seconds=seconds,
        kept_turns=kept_turns,
        rebase_position=rebase_position,
    )
    reference = family.reference(
        shape,
        chunk,
        mode == 'append',
        capacity - capacity // 8,
        seconds,
        kept_turns,
        rebase_position or 10**9,
    )
    size, second, number, answers = rng.choice(family.sizes), 0.0, 0, 0
    for round_ in range(8):
        if rng.random() < 0.2:
            size = rng.choice(family.sizes)
        for image in random_clip(1000 * seed + round_, rng.randint(1, 9), *size):
            second = round(second + rng.choice((0.125, 0.5, 0.5, 1.0)), 3)
            engine.append_frame(image, second)
            reference.frame(image, second)
            number += 1
        if rng.random() < 0.6 or round_ == 7:
            keep = rng.random() < 0.4
            tokens, logits = answer_of(engine, f'Q{round_}?', 3, keep)
            expected, expected_logits = reference.ask(f'Q{round_}?', 3, keep)
            assert tokens == expected
            assert (logits - expected_logits).abs().max() < 1e-4
            answers += 1
        info = engine.get_cache_info()
        patches = [item for item in reference.items if item.kind == 'patch']
        assert info.tokens == engine.stream.state.length == len(reference.kept())
        assert info.evicted_tokens == reference.evicted
        assert info.last_cache_position == reference.last
        if patches:
            assert info.oldest_stamp_ns == round(patches[0].stamp * 1e9)
            assert info.frames == number - patches[0].frame
    return reference, answers
