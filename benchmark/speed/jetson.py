# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Writes docs/jetson_performance.md: what Jetsons can reach, from their bandwidth and memory.

    python -m benchmark.speed.jetson

The floors are those of `benchmark.common.floors`; how near to them the engine comes is read from
``results/speed.json``, which `benchmark.speed` has measured on another card.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from typing import Any

from benchmark.common.floors import floors, LAYER_BYTES
from benchmark.common.harness import RESULTS
from streamvlm_ros.engine.serving.loading import BITS

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'jetson_performance.md'
MODELS = ('3B', '7B')
FORMATS = {'bf16': 16, **BITS}
WINDOW, CHUNK, PATCH = 16384, 512, 256  # tokens: cached, of a chunk of 4 frames, of 2 frames
SYSTEM_BYTES = 8e9  # left to everything else on the robot
# What the makers of the cards that speed.json may come from publish: bytes and bf16 operations.
PUBLISHED = {'H100': (3.35e12, 989e12), 'H200': (4.8e12, 989e12)}


@dataclasses.dataclass(frozen=True)
class Jetson:
    """A module as published: bytes, bytes a second, dense bf16 operations a second."""

    name: str
    memory: float
    bandwidth: float
    flops: float


JETSONS = (
    Jetson('AGX Orin 32 GB', 32e9, 204.8e9, 27e12),
    Jetson('AGX Orin 64 GB', 64e9, 204.8e9, 42.5e12),
    Jetson('AGX Thor 128 GB', 128e9, 273e9, 258e12),
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """How near one model came to what its card's maker publishes: 1 is the datasheet's floor."""

    chunk: float = 1.0
    question: float = 1.0
    token: float = 1.0


def published(speed: dict[str, Any]) -> tuple[float, float]:
    """Return bytes and bf16 operations a second of the card that was measured."""
    return next(rates for name, rates in PUBLISHED.items() if name in speed['hardware'])


def measured(speed: dict[str, Any] | None, model: str) -> Measured:
    """Return a model's fractions; without any, those of the floor itself."""
    lengths = [each for each in (speed or {}).get('lengths', ()) if each['model'] == model]
    if speed is None or not lengths:
        return Measured()
    nearest = min(lengths, key=lambda each: abs(each['cached'] - WINDOW))['summary']['of_floor']
    bandwidth, flops = published(speed)
    copied, computed = speed['card']['bytes_s'] / bandwidth, speed['card']['flop_s'] / flops
    return Measured(
        nearest['chunk_ms'] * computed, nearest['ttft_ms'] * copied, nearest['token_ms'] * copied
    )


def in_few_bits(
    near: Measured, speed: dict[str, Any], rows: list[dict[str, Any]], model: str, bits: int
) -> Measured:
    """Return the fractions of a model in few bits, from those in bf16 and what was measured."""
    # Both from one run: a chunk in 16 bits from another run may be of other code.
    few, full = (
        next(each for each in rows if (each['model'], each['bits']) == (model, wanted))
        for wanted in (bits, 16)
    )
    copied = speed['card']['bytes_s'] / published(speed)[0]
    token = few['token, of the floor'] * copied
    return Measured(
        near.chunk * full['chunk ms'] / few['chunk ms'],
        token * few['token ms'] / few['first token ms'],
        token,
    )


def row(jetson: Jetson, model: str, form: str, near: Measured) -> str:
    """Return one line of the table."""
    shape, size = floors(model), LAYER_BYTES[FORMATS[form]]
    rest = 2.0 * (shape.weights - shape.layers)
    room = jetson.memory - SYSTEM_BYTES - rest - shape.layers * size
    kv = 2.0 * shape.kv_values
    if room < WINDOW * kv:
        return f'| {jetson.name} | {model} | {form} | does not fit | | | | |'
    read = shape.token_bytes(WINDOW, size)
    floor = read / jetson.bandwidth
    chunk = max(
        shape.chunk_flops(CHUNK, WINDOW, PATCH) / jetson.flops,
        (read - 2.0 * shape.head + 2.0 * shape.visual) / jetson.bandwidth,
    )
    cells = (
        f'{4 / chunk * near.chunk:.1f}',
        f'{1e3 * floor / near.question:.0f} ms',
        f'{near.token / floor:.1f}',
        f'{room / kv / PATCH / 3600:.1f} h',
        f'{(rest + shape.layers * size) / 1e9:.1f} GB',
    )
    return f'| {jetson.name} | {model} | {form} | ' + ' | '.join(cells) + ' |'


def table(near: dict[tuple[str, str], Measured]) -> list[str]:
    """Return the table's lines."""
    return [
        '| module | model | weights | frames/s | first token | tokens/s | memory | weights take |',
        '| --- | --- | --- | --- | --- | --- | --- | --- |',
        *(
            row(jetson, model, form, near[model, form])
            for jetson in JETSONS
            for model in MODELS
            for form in FORMATS
        ),
    ]


def page(speed: dict[str, Any] | None, few: list[dict[str, Any]]) -> str:
    """Return the page; ``few`` are the rows of `benchmark.quantization.quantized`."""
    floor = table({(model, form): Measured() for model in MODELS for form in FORMATS})
    lines = [INTRODUCTION, *floor, '']
    if speed is None:
        lines += [
            '## With what the engine reaches of the floor',
            '',
            'Not measured yet: `benchmark/results/speed.json` is missing. '
            '`python -m benchmark.speed`',
            'on a CUDA card writes it, `python -m benchmark.speed.jetson` then fills this in.',
            '',
        ]
    else:
        near = {(model, 'bf16'): measured(speed, model) for model in MODELS}
        for model, (form, bits) in itertools.product(MODELS, BITS.items()):
            near[model, form] = in_few_bits(near[model, 'bf16'], speed, few, model, bits)
        lines += [
            '## With what the engine reaches of the floor',
            '',
            f"On one {speed['hardware']} the engine reached, of what that card's datasheet "
            'allows:',
            '',
            *(
                f'- {model}, {form}: {each.chunk:.0%} in a chunk, {each.question:.0%} in a '
                f'question, {each.token:.0%} in a token'
                for (model, form), each in near.items()
            ),
            '',
            'With attention as a Jetson has it, without the kernel for Hopper, a chunk was '
            'at 41% (3B) and 48% (7B) in bf16.',
            '',
            'If a Jetson lets it come as near to its own datasheet, that is:',
            '',
            *table(near),
            '',
            CAUTION,
            '',
        ]
    return '\n'.join([*lines, SOURCES.rstrip()]) + '\n'


INTRODUCTION = """# What a Jetson can reach

Computed, not measured: nobody here has run the engine on a Jetson.
`python -m benchmark.speed.jetson` writes this page from the modules' published bandwidth,
arithmetic and memory.

The case: 448 × 448 pixels (256 tokens for two frames), chunks of 4 frames, a window of 16,384
cached tokens, one question at a time.

- **tokens/s**: a token reads the decoder's weights and the window's keys and values once.
- **first token**: a short question cannot be faster than that one reading.
- **frames/s**: while nothing is asked; the operations of a chunk, in the ViT and in the decoder,
  at the dense bf16 rate, or the reading of all weights where that takes longer. With weights in
  int8 or int4 the arithmetic stays bf16, so that frames get hardly faster.
- **memory**: how long a stream at 2 frames a second the KV cache, in bf16, holds beside the
  weights, with 8 GB left to everything else on the robot; [memory.md](memory.md) says what the
  model makes of it.

int8 and int4 are of the decoder's layers; the ViT, the token table and the vocabulary's matrix
stay bf16.

## The floor

What no program can be faster than:
"""

CAUTION = """It may not: fewer and slower cores hide launches and transfers less well. Where int8
and int4 are bound by unpacking and not by bandwidth, a Jetson, which has less bandwidth for
each core, may come nearer to its floor than that."""

SOURCES = """## Where the figures come from

Read second hand, in public notes that quote these pages; look at the pages before you buy.

- AGX Orin: 204.8 GB/s, 32 and 64 GB, 108 and 170 sparse INT8 TOPS of the GPU: [Jetson AGX Orin
  Series data sheet](https://static.generation-robots.com/media/Jetson-AGX-Orin-Data-Sheet.pdf),
  DS-10662-001 v1.8, pages 7 and 12. Dense bf16 is taken as a quarter of the sparse INT8 rate: 27
  and 42.5 TFLOP/s. Products summed in float32, as PyTorch's are, may run at half of that.
- AGX Thor (T5000): 128 GB, 273 GB/s, 2,070 sparse FP4 TFLOP/s: [NVIDIA's page of Jetson
  Thor](https://www.nvidia.com/en-gb/autonomous-machines/embedded-systems/jetson-thor/). Dense
  bf16 is taken as an eighth of that, 258 TFLOP/s, which [others list
  too](https://huggingface.co/hardware/jetson-t5000). One public micro-benchmark of bf16 products
  on the module got 113 TFLOP/s; the frames/s above would then be less than half.
- All are peaks of the highest power mode; many robots run below it.
"""


def main() -> None:
    """Write the page."""
    found = RESULTS / 'speed.json'
    speed = json.loads(found.read_text(encoding='utf-8')) if found.exists() else None
    few = json.loads((RESULTS / 'quantized.json').read_text(encoding='utf-8'))['rows']
    PAGE.write_text(page(speed, few), encoding='utf-8')
    print(PAGE)


if __name__ == '__main__':
    main()
