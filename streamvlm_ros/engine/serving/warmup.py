# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a GPU has to compile and record before the first frame, so that no frame waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import itertools
import math
import time

import numpy as np
import torch

from streamvlm_ros.engine.errors import StreamError
from streamvlm_ros.engine.models.devices import gpus_of
from streamvlm_ros.engine.models.preprocessing import upload
from streamvlm_ros.engine.ops.operations import operations_for, TORCH
from streamvlm_ros.engine.ops.quantization import weight_bytes
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.stream.encoder_cache import encode_batch
from streamvlm_ros.engine.stream.frames import Frame
from streamvlm_ros.view import VIEWS

# Each pass runs once directly, once to be recorded, and once from its recording.
TIMES = 3
QUESTIONS = ('?', 'What is there to be seen now?', 'What has happened here? ' * 10)


def warm_up(engines: Sequence[VideoStreamingInference], log: Callable[[str], object]) -> None:
    """Run a stream of noise through a model before anything real, and forget it.

    It takes chunks of square frames of the settings' largest size, for all numbers of streams at
    once, questions of several lengths, choices, and batches of every size.  Frames of another size
    are recorded when they first come.  On several GPUs nothing is recorded, but there are kernels
    to compile all the same.

    Args:
        engines: new ones over one model.  On a CPU there is nothing to prepare.
        log: is called with sentences that say what is done.

    """
    engine = engines[0]
    passes = ModelRunner.of(engine.model).passes
    if operations_for(engine.model.token_table) is TORCH:
        return
    began = time.perf_counter()
    log(
        'Compiling kernels and recording passes; a first start takes a minute, later ones use '
        "Triton's cache."
    )
    try:
        _resize(engine)
        if passes:
            encode_joined(engines)
        # Without recordings, only one row and several rows differ.
        _run(engine, passes.batches if passes else (1, 2), log)
    except StreamError as error:
        # The memory may be too small for all of this, and large enough for the real stream.
        log(f'Part of the warm-up was left out: {error}')
    for each in engines:
        each.forget()
    for gpu in gpus_of(engine.model):
        torch.cuda.synchronize(gpu)
    recorded = (
        f'{passes.graphs.captured} passes recorded in {passes.graphs.seconds:.1f} s'
        if passes
        else 'the passes of this model are not recorded'
    )
    log(f'Warm after {time.perf_counter() - began:.1f} s: {recorded}.')
    log(memory_report(engines))


def memory_report(engines: Sequence[VideoStreamingInference]) -> str:
    """Return a sentence that says what takes the GPUs' memory; it does not grow after this."""
    # Not from the state dict, which names tied weights twice.
    weights = weight_bytes(engines[0].model)
    cache = sum(engine.get_cache_info().memory_bytes for engine in engines)
    views = sum(engine.questions.views.room.memory_bytes for engine in engines)
    held = {gpu: torch.cuda.memory_reserved(gpu) for gpu in gpus_of(engines[0].model)}
    reserved = sum(held.values())
    return (
        f'GPU memory: {reserved / 1e9:.2f} GB, of which {weights / 1e9:.2f} GB weights, '
        f'{cache / 1e9:.2f} GB caches, {views / 1e9:.2f} GB room for views, '
        f'{max(0, reserved - weights - cache - views) / 1e9:.2f} GB passes and their room to work'
        f'{_spread(engines[0].model.layer_devices, held)}.'
    )


def _spread(layers: Sequence[torch.device], held: Mapping[torch.device, int]) -> str:
    """Say what is where, if that is not one GPU."""
    if len(held) < 2:
        return ''
    return '; ' + ', '.join(
        f'{gpu} has {layers.count(gpu)} layers in {size / 1e9:.2f} GB'
        for gpu, size in held.items()
    )


def _resize(engine: VideoStreamingInference) -> None:
    """Resize one image, by kernels that take every size; frames of noise keep theirs."""
    pixels = engine.stream.pixels
    side = pixels.factor + 1
    upload(np.zeros((side, side, 3), np.uint8), pixels, engine.model.device)


def encode_joined(engines: Sequence[VideoStreamingInference]) -> None:
    """Run chunks of two streams through the ViT at once, of three, and so on; engines are new."""
    chunks = []
    for engine in engines:
        chunk = engine.stream.due_chunk(
            [Frame(image, 0) for image in _noise(engine, engine.settings.chunk_frames)]
        )
        assert chunk is not None
        chunks.append(chunk)
    for number in range(2, len(chunks) + 1):
        for _ in range(TIMES):
            encode_batch(chunks[:number])


def _noise(engine: VideoStreamingInference, frames: int) -> list[np.ndarray]:
    """Return square frames of the largest size; none is so like another that it is left out."""
    side = math.isqrt(engine.stream.pixels.max_pixels)
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(frames)]


def _run(
    engine: VideoStreamingInference, batches: Sequence[int], log: Callable[[str], object]
) -> None:
    noise, chunk = itertools.cycle(_noise(engine, 8)), engine.settings.chunk_frames
    stamp = 0
    for frame in itertools.islice(noise, (TIMES + 1) * chunk):
        stamp += 250_000_000
        engine.append_frame(frame, stamp)
    # Also in the middle of a chunk: whole pairs are prefilled then, an odd frame in the branch.
    for frame in itertools.islice(noise, TIMES * chunk):
        stamp += 250_000_000
        engine.append_frame(frame, stamp)
        engine.ask(QUESTIONS[0], 1)
    log('Chunks of frames are ready.')
    for question in QUESTIONS:
        for _ in range(TIMES):
            engine.ask(question, 1)
            engine.ask_choice(question, ['yes', 'no'])
    log('Questions are ready.')
    for batch in batches:
        opened = [engine.questions.open(QUESTIONS[0], 8) for _ in range(batch)]
        try:
            for _ in range(TIMES):
                engine.questions.decode([each for each in opened if not each.ended])
        finally:
            for each in opened:
                engine.questions.abandon(each)
    if engine.settings.open_views and engine.settings.view_ring_bytes:
        for view in VIEWS:
            for _ in range(TIMES):
                engine.ask(QUESTIONS[0], 1, view=view)
        log('Views are ready.')
