# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles what the passes launch, at the published dimensions, for cards that are not there.

    PYTHONPATH=.:test python -m support.kernels.compile_passes RESULT [--whole]

A process of its own, because Triton either compiles or interprets.  RESULT is written in JSON: for
every card, the ``shared`` memory that kernels were made for, each pass's ``launches``, what was
``compiled`` in which pass, and in ``left_out`` the kernels that no pass has launched.  With
``--whole`` for every card, otherwise for those in ``SAMPLE`` and with fewer passes.
"""

from __future__ import annotations

from collections.abc import Iterator
import functools
import importlib
import inspect
import json
import math
import multiprocessing
import pathlib
import pkgutil
import re
import sys
from typing import Any
from unittest import mock

from support.kernels.absent_card import AbsentCard, CARDS, name_of
from support.second_family.family import LANTERN
from support.second_family.model import LanternModel
import torch

from benchmark.common.dimensions import build_model, build_qwen3, QWEN3, TEXT, VISION
from streamvlm_ros.engine.ops import quantization

# Triton compiles apart for an integer that is 1, and for one that 16 divides: layers 0, 1 and 2.
LAYERS = 3
# What is compiled for every card: the largest tiles.
LARGEST = {
    '7B in 16 bits': ('ViT', 'chunk', 'choices of 64', 'batch of 16', 'frames'),
    '7B in 4 bits': ('choices of 64',),
    'heads of 16': ('batch of 16',),  # narrower than a cache line
}
# And with all its passes: 7B, 3B and Qwen3-VL for one card, 3B and that for one that is small.
WHOLE = {
    'H100': (
        '7B in 16 bits',
        '3B in 16 bits',
        '7B in 8 bits',
        '7B in 4 bits',
        'Qwen3 8B in 16 bits',
    ),
    'Jetson Orin': ('3B in 16 bits', '3B in 4 bits', 'Qwen3 8B in 16 bits'),
}
# What the suite compiles besides LARGEST, and for which cards: every kernel for one, and the card
# with the least shared memory.
SAMPLE: dict[str, dict[str, tuple[str, ...]]] = {
    'H100': {
        '7B in 16 bits': ('question of 64', 'question of 100', 'choices of 100', 'batch of 1'),
        '3B in 16 bits': ('chunk',),
        '7B in 8 bits': ('chunk', 'batch of 1', 'batch of 16'),
        '7B in 4 bits': ('chunk', 'batch of 1', 'batch of 16'),
    },
    'RTX 40': {},
}
# New tokens, choices among them; short questions are padded to one of a few lengths.
LENGTHS = (8, 32, 64, 100)


@functools.cache
def models() -> dict[str, Any]:
    """Return models of a few layers by size and bits, without any memory."""
    made: dict[str, Any] = {}
    for size, bits in (('7B', 16), ('3B', 16), ('7B', 8), ('7B', 4), ('3B', 4)):
        vision = VISION | {'depth': 2, 'fullatt_block_indexes': [1]}
        model, _ = build_model(
            TEXT[size] | {'num_hidden_layers': LAYERS}, vision, 'meta', torch.bfloat16
        )
        if bits < 16:
            # Those of 7B have zero points, as published ones do: the same kernels with more to do.
            made_up = functools.partial(rounded, zeros=size == '7B' and bits == 4)
            with mock.patch.object(quantization, 'quantize', made_up):
                model.quantize(bits)
        made[f'{size} in {bits} bits'] = model
    text, vision = QWEN3['Qwen3-8B']
    made['Qwen3 8B in 16 bits'], _ = build_qwen3(
        text | {'num_hidden_layers': LAYERS},
        vision | {'depth': 3, 'deepstack_visual_indexes': [0, 1]},
        'meta',
        torch.bfloat16,
    )
    with torch.device('meta'):
        made['heads of 16'] = LanternModel(LANTERN).to(torch.bfloat16)
    return made


def rounded(weight: torch.Tensor, bits: int, zeros: bool) -> quantization.QuantizedWeight:
    """Return a matrix like that of ``quantization.quantize``, which has to see numbers."""
    columns, depth = weight.shape
    scale = weight.new_empty(columns, 1 if bits == 8 else depth // quantization.GROUPS[0])
    return quantization.QuantizedWeight(
        weight.new_empty(columns, depth * bits // 8, dtype=torch.int8),
        scale.half() if zeros else scale,
        bits,
        torch.empty_like(scale, dtype=torch.int8) if zeros else None,
    )


def passes(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield what it is called and a pass, as ``DevicePasses`` and ``warm_up`` make them."""
    from streamvlm_ros.engine.positions import Grid
    from streamvlm_ros.engine.runner.device_passes import BATCHES
    from streamvlm_ros.engine.runner.passes import DecodePass, EncoderPass, padded, PrefillPass

    # A chunk of four frames of 448 x 448.
    pixels = model.family.pixels
    grid = Grid(2, 448 // pixels.factor, 448 // pixels.factor)
    tokens = math.prod(grid)
    yield 'frames', Resizing()
    values = 3 * pixels.temporal_patch_size * pixels.patch_size**2
    yield 'ViT', EncoderPass(model, (pixels.merge_size**2 * tokens, values), grid)
    yield (
        'chunk',
        PrefillPass(model, tokens, keep=0, video=True, tree=False, scored=False),
    )
    for tokens in LENGTHS:
        yield f'question of {tokens}', PrefillPass(model, padded(tokens), 1, False, False, False)
    for tokens in LENGTHS:
        keep = tokens // 8 * 8
        yield f'choices of {tokens}', PrefillPass(model, padded(tokens), keep, False, True, True)
    for batch in BATCHES:
        yield f'batch of {batch}', DecodePass(model, batch)


class Resizing:
    """Brings frames of two cameras to the model's size."""

    def run(self) -> None:
        """Launch what ``upload`` launches."""
        from streamvlm_ros.engine.ops.kernels.resize import resize

        for height, width in ((480, 640), (1080, 1920)):
            image = torch.empty(height, width, 3, dtype=torch.uint8, device='meta')
            resize(image, (448, 448))


def kernels() -> set[str]:
    """Return the names of all kernels that are launched: those that ask which program they are."""
    import triton

    from streamvlm_ros.engine.models.qwen2_5_vl import kernels as family
    from streamvlm_ros.engine.ops import kernels

    modules = [
        importlib.import_module(info.name)
        for package in (kernels, family)
        for info in pkgutil.walk_packages(package.__path__, f'{package.__name__}.')
    ]
    functions = [
        function
        for module in modules
        for _, function in inspect.getmembers(
            module, lambda each: isinstance(each, triton.JITFunction)
        )
    ]
    return {
        name_of(function)
        for function in functions
        if re.search(r'\b[tg]l\.program_id\(', function.src)
    }


def wanted(name: str, whole: bool, kind: str, what: str) -> bool:
    """Tell whether a pass of a model is compiled for a card."""
    more = kind in WHOLE.get(name, ()) if whole else what in SAMPLE[name].get(kind, ())
    return more or what in LARGEST.get(kind, ())


def compile_for(name: str, whole: bool) -> dict[str, Any]:
    """Return what RESULT says of a card, whose place this process takes."""
    card = AbsentCard(CARDS[name])
    launches, compiled = {}, []
    for kind, model in models().items():
        for what, work in passes(model):
            if not wanted(name, whole, kind, what):
                continue
            title = f'{kind}, {what}'
            launched, known = card.launches, len(card.compiled)
            try:
                with torch.inference_mode():
                    work.run()
            except Exception as error:
                raise RuntimeError(f'{title} does not compile for {name}') from error
            launches[title] = card.launches - launched
            compiled += [(title, *each) for each in card.compiled[known:]]
    from streamvlm_ros.engine.ops.kernels import launch

    return {
        'shared': launch.SHARED,
        'launches': launches,
        'compiled': compiled,
        'left_out': sorted(kernels() - {kernel for kernel, _ in card.compiled}),
    }


def main() -> None:
    """Compile, two cards at a time."""
    whole = '--whole' in sys.argv[2:]
    cards = list(CARDS if whole else SAMPLE)
    models()
    with multiprocessing.get_context('fork').Pool(2, maxtasksperchild=1) as pool:
        made = pool.starmap(compile_for, [(name, whole) for name in cards], chunksize=1)
    results = dict(zip(cards, made))
    pathlib.Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == '__main__':
    main()
