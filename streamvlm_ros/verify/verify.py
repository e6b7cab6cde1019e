# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compares a model's stream with stock transformers in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses

from streamvlm_ros.engine import load_processor, pick_device, resolve_model
from streamvlm_ros.engine.config import POSITION_MODES
from streamvlm_ros.engine.models.folder.files import expand, read_json
from streamvlm_ros.engine.models.folder.weight_files import is_whole
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.models.prompt import choice_text
from streamvlm_ros.engine.models.registry import family_at
from streamvlm_ros.engine.serving.loading import pick_dtype
from streamvlm_ros.verify.clips import CHOICE_QUESTION, CHOICES, Clip, generated, QUESTION
from streamvlm_ros.verify.compare import compare_pixels, judge, stock_noise
from streamvlm_ros.verify.exchange import Asked, Shown, StockSaid
from streamvlm_ros.verify.process import ask_stock
from streamvlm_ros.verify.report import Report
from streamvlm_ros.verify.streamed import stream_all, Streamed

TOKENS, QUICK_TOKENS = 32, 12  # of an answer
# Frames of a chunk; the first one, which is the node's default, is timed.
CHUNKS, QUICK_CHUNKS = (4, 2, 6, 8), (4, 2)


def verify(
    model: str,
    own: Sequence[Clip] = (),
    *,
    quick: bool = False,
    device: str = 'auto',
    dtype: str = 'auto',
    quantization: str = 'none',
    log: Callable[[str], object] = lambda _: None,
) -> Report:
    """Compare a model's stream with stock transformers on this machine.

    Both do not have to fit the device at once: stock runs first, in a process of its own, and has
    ended when the engine loads the model.

    Args:
        model: 'tiny', a folder, or a hub id that was fetched.
        own: clips beside the generated ones.
        quick: fewer, shorter clips and two chunkings.
        device: 'auto', 'cpu', 'cuda', 'cuda:N'.
        dtype: 'auto', 'float32', 'bfloat16' or 'float16'.
        quantization: 'none', 'int8' or 'int4'; stock then has the rounded weights.
        log: is called with sentences that say what is done.

    Raises:
        StreamError: the device is not there.
        OSError, ValueError: the model is not there, or is not run.
        RuntimeError: stock transformers cannot run it.
        KeyboardInterrupt: a signal has come; the stock process has ended.

    """
    clips = [*generated(quick), *own]
    asked, cases = plan(model, clips, quick, device, dtype, quantization)
    stock = ask_stock(asked, clips)
    ours = stream_all(asked, clips, cases, stock, CHOICE_QUESTION, log)
    return reported(model, asked, cases, stock, ours)


def plan(
    model: str, clips: Sequence[Clip], quick: bool, device: str, dtype: str, quantization: str
) -> tuple[Asked, list[Shown]]:
    """Return what both sides are asked, and in which ways each clip is streamed.

    All that can be refused without loading the model is refused here.
    """
    device = pick_device(device)
    folder = expand(resolve_model(model))
    family = family_at(folder)
    awq = family.read_config(folder).get('quantization_config')
    if awq and quantization != 'none':
        raise ValueError(
            f'The weights of {model} are in 4 bits already; leave quantization at none.'
        )
    pixels = load_processor(folder).pixels
    if not is_whole(folder):
        raise FileNotFoundError(
            f'{folder} lacks files of weights; streamvlm pull {model} fetches them.'
        )
    chunks, timed = QUICK_CHUNKS if quick else CHUNKS, family.patch_text is not None
    cases = [
        Shown(clip, mode, chunk)
        for mode in POSITION_MODES
        for chunk in chunks
        for clip in range(len(clips))
    ]
    asked = Asked(
        folder,
        device,
        str(pick_dtype(dtype, device)).removeprefix('torch.'),
        quantization,
        family.model_type,
        timed,
        pixels.patch_size,
        pixels.min_pixels,
        pixels.max_pixels,
        list(pixels.mean),
        list(pixels.std),
        [(clip.name, clip.stamps_ns) for clip in clips],
        list(dict.fromkeys(stock_prompt(case, timed) for case in cases)),
        QUESTION,
        choice_text(CHOICE_QUESTION, CHOICES),
        list(CHOICES),
        QUICK_TOKENS if quick else TOKENS,
    )
    return asked, cases


def stock_prompt(case: Shown, timed: bool) -> Shown:
    """Return the offline prompt that a case has to equal.

    In 'continuous' mode that is the same one for every chunking: the whole clip as one video.  It
    is that in both modes for a family that writes times (``Asked.timed``), as each of its
    temporal patches is a vision segment of its own anyway.
    """
    if case.mode == 'append' and not timed:
        return case
    return dataclasses.replace(case, mode='continuous', chunk=CHUNKS[0])


def reported(
    model: str, asked: Asked, cases: Sequence[Shown], stock: StockSaid, ours: Streamed
) -> Report:
    """Compare what both sides said."""
    replies = dict(zip(asked.shown, stock.replies))
    noise = stock_noise(stock.replies)
    names = [name for name, _ in asked.clips]
    awq = family_at(asked.folder).read_config(asked.folder).get('quantization_config')
    return Report(
        model,
        asked.device,
        asked.dtype,
        'AWQ' if awq else asked.quantization,
        stock.versions,
        stock.processor,
        stock.why,
        stock.penalty,
        GenerationSettings.of(read_json(asked.folder, 'generation_config.json')).not_applied,
        noise,
        [
            compare_pixels(name, theirs, mine, asked.std)
            for name, theirs, mine in zip(names, stock.patches, ours.patches)
        ],
        [
            judge(
                case,
                names[case.clip],
                replies[stock_prompt(case, asked.timed)],
                ours.replies[case],
                noise.allowed,
            )
            for case in cases
        ],
        stock.cost,
        ours.cost,
    )
