# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a public benchmark of streaming video on a model, or score stored responses to one."""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from typing import Any

from streamvlm_ros.errors import CommandError, StreamError
from streamvlm_ros.view import VIEWS

INCOMPLETE = 3  # exit code: questions were left out, which the report names
EXAMPLES = """\
examples:
  streamvlm evaluate ovo --annotations OVO-Bench/data/ovo_bench_new.json --protocol OVO-Bench \\
      --videos OVO-Bench/data/src_videos --model Qwen/Qwen2.5-VL-7B-Instruct --view now
  streamvlm evaluate streamingbench --annotations questions_real.json --videos data/videos \\
      --model Qwen/Qwen2.5-VL-3B-Instruct --task Counting --set max_pixels=200704
  streamvlm evaluate ovo --score ovo-Qwen2.5-VL-7B-Instruct-now.jsonl

A run that has ended early goes on when the same command is given again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        'benchmark', choices=('ovo', 'streamingbench'), help='OVO-Bench or StreamingBench'
    )
    parser.add_argument(
        '--annotations',
        metavar='FILE',
        nargs='+',
        type=pathlib.Path,
        default=[],
        help="the benchmark's questions; of StreamingBench one or more of its files",
    )
    parser.add_argument(
        '--videos', metavar='FOLDER', type=pathlib.Path, help="the benchmark's videos"
    )
    parser.add_argument(
        '--model',
        default='',
        help='tiny, a model folder, or a hub id; with --score, whose responses of a file',
    )
    parser.add_argument(
        '--view',
        choices=VIEWS,
        default='memory',
        help='what each question looks at: all that was seen, the newest frames afresh, both, or '
        'a span of frames afresh (%(default)s)',
    )
    parser.add_argument(
        '--span',
        metavar='SECONDS',
        type=float,
        default=0.0,
        help='of the view span: the newest seconds; 0: all that was shown (%(default)s)',
    )
    parser.add_argument(
        '--score',
        metavar='PATH',
        nargs='+',
        type=pathlib.Path,
        default=[],
        help='score stored responses instead: a file of --output, or files or folders of the '
        "benchmark's own form; needs no model and no video",
    )
    parser.add_argument(
        '--output',
        metavar='FILE',
        type=pathlib.Path,
        help='file of responses; one that is there is gone on with (BENCHMARK-MODEL-VIEW.jsonl)',
    )
    parser.add_argument(
        '--protocol',
        metavar='FOLDER',
        type=pathlib.Path,
        help="a clone of the benchmark's repository, whose own prompts are then asked; without it "
        'the same is asked in other words, and figures do not compare with published ones',
    )
    parser.add_argument(
        '--task', metavar='NAME', action='append', default=[], help='ask this task only; repeat it'
    )
    parser.add_argument(
        '--rate', type=float, default=1.0, help='frames a second to the model (%(default)s)'
    )
    parser.add_argument(
        '--context',
        metavar='SECONDS',
        type=float,
        default=60.0,
        help='of StreamingBench: what the model sees before a question; 0: all (%(default)s)',
    )
    parser.add_argument(
        '--max-new-tokens', type=int, default=128, help='longest answer (%(default)s)'
    )
    parser.add_argument(
        '--set',
        metavar='NAME=VALUE',
        action='append',
        default=[],
        help="a setting of the stream, as the node's parameter of that name: max_pixels (151200), "
        'capacity (room for the longest video), position_mode, ...; repeat it',
    )
    parser.add_argument(
        '--device', default='auto', help='where it runs: auto, cpu, cuda:N, balanced (%(default)s)'
    )
    parser.add_argument(
        '--dtype',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
        default='auto',
        help='number format (%(default)s)',
    )
    parser.add_argument(
        '--quantization',
        choices=('none', 'int8', 'int4'),
        default='none',
        help='of the decoder (%(default)s)',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')


def run(arguments: argparse.Namespace) -> int:
    """Run or score, and print; needs no ROS.

    Returns:
        0; 3: questions were left out.

    """
    try:
        report = _scored(arguments) if arguments.score else _evaluated(arguments)
    except (StreamError, ImportError, OSError, ValueError) as error:
        raise CommandError(' '.join(str(error).split())) from error
    if arguments.json:
        print(json.dumps(report.as_json()))
    else:
        print('\n'.join(report.lines()))
    return 0 if report.complete else INCOMPLETE


def _scored(arguments: argparse.Namespace) -> Any:
    from streamvlm_ros.evaluate.rescore import score_stored
    from streamvlm_ros.evaluate.score import BENCHMARKS

    return score_stored(
        BENCHMARKS[arguments.benchmark],
        [path.expanduser() for path in arguments.score],
        [path.expanduser() for path in arguments.annotations],
        arguments.model,
    )


def _evaluated(arguments: argparse.Namespace) -> Any:
    lacking = [
        f'--{name}' for name in ('annotations', 'videos', 'model') if not getattr(arguments, name)
    ]
    if lacking:
        raise CommandError(f'A run needs {" and ".join(lacking)} too; --score needs none of them.')
    if not 0 < arguments.rate <= 60:
        raise CommandError(f'--rate is {arguments.rate}; give more than 0, and at most 60.')
    if not 0 <= arguments.context < 1e6:
        raise CommandError(f'--context is {arguments.context} s; give 0 (all) or more.')
    if not 0 <= arguments.span < 1e6 or (arguments.span and arguments.view != 'span'):
        raise CommandError(
            f'--span is {arguments.span} s with the view {arguments.view}; give 0 (all) or more, '
            'with --view span.'
        )
    settings = dict(map(_setting, arguments.set))
    from streamvlm_ros.evaluate.evaluate import evaluate, Plan

    name = re.sub(r'[^\w.-]+', '-', pathlib.PurePath(arguments.model).name) or 'model'
    output = arguments.output or f'{arguments.benchmark}-{name}-{arguments.view}.jsonl'
    plan = Plan(
        benchmark=arguments.benchmark,
        annotations=tuple(path.expanduser() for path in arguments.annotations),
        videos=arguments.videos.expanduser(),
        model=arguments.model,
        output=pathlib.Path(output).expanduser(),
        view=arguments.view,
        span_s=arguments.span,
        rate=arguments.rate,
        settings=settings,
        context_s=arguments.context,
        max_new_tokens=arguments.max_new_tokens,
        protocol=arguments.protocol.expanduser() if arguments.protocol else None,
        tasks=tuple(arguments.task),
        device=arguments.device,
        dtype=arguments.dtype,
        quantization=arguments.quantization,
    )
    return evaluate(plan, _say)


def _setting(text: str) -> tuple[str, Any]:
    """Return a setting's name and value; a value is read as JSON where it is some."""
    name, equals, value = text.partition('=')
    if not name or not equals:
        raise CommandError(f'--set {text!r} is not NAME=VALUE, for example capacity=65536.')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _say(text: str) -> None:
    print(f'streamvlm: {text}', file=sys.stderr, flush=True)
