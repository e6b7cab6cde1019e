# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's side: every clip streamed in every chunking and mode, and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import resource
import time

import numpy as np
import torch

from streamvlm_ros.engine import (
    load_processor,
    load_streams,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.engine.models.devices import gpus_of
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, to_patches
from streamvlm_ros.engine.ops.quantization import weight_bytes
from streamvlm_ros.engine.questions.branch import finish
from streamvlm_ros.verify.clips import Clip
from streamvlm_ros.verify.exchange import Asked, Cost, Reply, Shown, StockSaid

REPEATS = 4  # a GPU runs a new pass directly, records it, and replays it from then on


@dataclasses.dataclass(frozen=True)
class Streamed:
    """What the engine says.

    Attributes:
        replies: to every case.
        patches: of each clip, as many as stock tells of.
        cost: what it takes.

    """

    replies: dict[Shown, Reply]
    patches: list[np.ndarray]
    cost: Cost


def stream_all(
    asked: Asked,
    clips: Sequence[Clip],
    cases: Sequence[Shown],
    stock: StockSaid,
    question: str,
    log: Callable[[str], object],
) -> Streamed:
    """Load the model into the engine, and stream.

    Args:
        asked: as the stock process was asked.
        clips: all of them.
        cases: what is streamed; the first one is timed.
        stock: what stock said, for the sizes of prompts and patches.
        question: the choice question without its choices.
        log: is called with sentences that say what is done.

    Raises:
        StreamError, OSError, ValueError: as ``load_streams``.

    """
    processor = load_processor(asked.folder)
    pixels = processor.pixels
    most = max(reply.prompt_tokens for reply in stock.replies) + asked.tokens + 256
    largest = _largest(clips, pixels)
    [engine] = load_streams(
        asked.folder,
        [_settings(cases[0], most, largest)],
        device=asked.device,
        dtype=asked.dtype,
        quantization=asked.quantization,
        log=log,
    )
    model = engine.model
    log('timing')
    cost = _cost(engine, clips[cases[0].clip], asked)
    replies: dict[Shown, Reply] = {}
    opened = cases[0].mode, cases[0].chunk
    for number, case in enumerate(cases, start=1):
        clip = clips[case.clip]
        log(f'case {number} of {len(cases)}: {clip.name}, {case.mode}, {case.chunk} frames')
        if opened != (case.mode, case.chunk):
            settings = _settings(case, most, largest)
            engine = VideoStreamingInference(model, processor, settings=settings)
            opened = case.mode, case.chunk
        engine.reset()
        for frame, stamp_ns in zip(clip.frames, clip.stamps_ns):
            engine.append_frame(frame, stamp_ns)
        replies[case] = _reply(engine, asked, question)
    device = model.token_table.device
    return Streamed(
        replies,
        [_patches(clip, told, pixels, device) for clip, told in zip(clips, stock.patches)],
        dataclasses.replace(cost, peak=_peak(engine)),
    )


def _settings(case: Shown, most: int, largest: int) -> StreamSettings:
    """Return settings under which nothing is left out, evicted or counted anew."""
    return StreamSettings(
        chunk_frames=case.chunk,
        position_mode=case.mode,
        sample_rate=0.0,
        max_pixels=largest,
        capacity=2 * most,
        rebase_position=1 << 30,
    )


def _largest(clips: Sequence[Clip], pixels: ImageProcessorConfig) -> int:
    """Return an upper bound of a frame that resizes no clip otherwise than the model's own does.

    The engine warms up with frames of that size, and the models' own bound is some 3600 x 3600.
    """
    sides = [clip.frames[0].shape[:2] for clip in clips]
    most = max(height * width for height, width in (pixels.resized(*side) for side in sides))
    bounded = pixels.bounded(0, most)
    return most if all(bounded.resized(*s) == pixels.resized(*s) for s in sides) else 0


def _reply(engine: VideoStreamingInference, asked: Asked, question: str) -> Reply:
    questions = engine.questions
    opened = questions.begin(asked.question, 1)
    try:
        logits = finish(opened.prefill_pieces(opened.prompt)).float().cpu().numpy()
    finally:
        questions.abandon(opened)
    sequence = questions.open(asked.question, asked.tokens)
    while not sequence.ended:
        questions.decode([sequence])
    answer = questions.close(sequence)
    choice = engine.ask_choice(question, asked.choices)
    return Reply(answer.prompt_tokens, sequence.tokens, logits, list(choice.probabilities))


def _patches(
    clip: Clip, told: np.ndarray, pixels: ImageProcessorConfig, device: torch.device
) -> np.ndarray:
    """Return as many of a clip's patches as stock tells of."""
    frames = clip.frames
    cut, grid = to_patches(frames[:2] if len(frames) > 1 else frames * 2, pixels, device)
    count = 2 * max(1, len(told) // (len(cut) // grid.t))
    frames = [*frames, frames[-1]][: min(count, len(frames) + len(frames) % 2)]
    return to_patches(frames, pixels, device)[0].float().cpu().numpy()


def _cost(engine: VideoStreamingInference, clip: Clip, asked: Asked) -> Cost:
    """Stream a clip several times; return what the last time took."""
    chunk = engine.settings.chunk_frames
    for _ in range(REPEATS):
        engine.reset()
        chunks = []
        for number, (frame, stamp_ns) in enumerate(zip(clip.frames, clip.stamps_ns), start=1):
            began = _clock(engine)
            engine.append_frame(frame, stamp_ns)
            if number % chunk == 0:
                chunks.append(_clock(engine) - began)
        answer = engine.ask(asked.question, asked.tokens)
    first, count = answer.time_to_first_token, answer.completion_tokens
    return Cost(
        weight_bytes(engine.model),
        engine.get_cache_info().memory_bytes,
        0,
        1e3 * sorted(chunks)[len(chunks) // 2],
        1e3 * first,
        1e3 * (answer.total_time - first) / (count - 1) if count > 1 else None,
    )


def _clock(engine: VideoStreamingInference) -> float:
    for gpu in gpus_of(engine.model):
        torch.cuda.synchronize(gpu)
    return time.perf_counter()


def _peak(engine: VideoStreamingInference) -> int:
    gpus = gpus_of(engine.model)
    if gpus:
        return sum(map(torch.cuda.max_memory_allocated, gpus))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
