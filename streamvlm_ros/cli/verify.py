# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compare a model's stream with stock transformers, on this machine and with its real weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import json
import pathlib
import sys
from typing import Any, TYPE_CHECKING

from streamvlm_ros.errors import CommandError

if TYPE_CHECKING:
    from streamvlm_ros.verify.clips import Clip

DIFFERS, NOT_RUN = 1, 2  # exit codes
BAGS = ('.mcap', '.db3', '.bag')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('model', help='tiny, a model folder, or a hub id that was fetched')
    parser.add_argument(
        '--video',
        metavar='FILE',
        action='append',
        type=pathlib.Path,
        default=[],
        help='a clip of your own beside the generated ones: a video file, a folder of pictures, '
        'or a bag; may be given several times',
    )
    parser.add_argument(
        '--device', default='auto', help='where both run: auto, cpu, cuda:N (%(default)s)'
    )
    parser.add_argument(
        '--dtype',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
        default='auto',
        help='number format of both (%(default)s)',
    )
    parser.add_argument(
        '--quantization',
        choices=('none', 'int8', 'int4'),
        default='none',
        help='as the node takes it; stock then runs on the same rounded weights (%(default)s)',
    )
    parser.add_argument(
        '--quick', action='store_true', help='fewer and shorter clips, two chunkings'
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; needs no ROS.

    Returns:
        0: it streams losslessly; 1: something differs; 2: it could not be compared.

    """
    from streamvlm_ros.engine import StreamError
    from streamvlm_ros.verify.verify import verify

    try:
        report = verify(
            arguments.model,
            [_read(path) for path in arguments.video],
            quick=arguments.quick,
            device=arguments.device,
            dtype=arguments.dtype,
            quantization=arguments.quantization,
            log=_progress,
        )
    except (CommandError, StreamError, ImportError, OSError, ValueError, RuntimeError) as error:
        _progress(' '.join(str(error).split()))
        return NOT_RUN
    if arguments.json:
        print(json.dumps(report.as_json()))
    else:
        print('\n'.join(report.lines()))
    return 0 if report.lossless else DIFFERS


def _read(path: pathlib.Path) -> Clip:
    from streamvlm_ros.verify.own_clips import read_clip, sampled

    path = path.expanduser()
    if path.suffix in BAGS or (path / 'metadata.yaml').is_file():
        return sampled(path.name, _bag_frames(path))
    return read_clip(path)


def _bag_frames(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    """Yield the stamps and frames of a bag's images as the node decodes them."""
    from streamvlm_ros.bags.bags import is_compressed, read_images
    from streamvlm_ros.engine import StreamSettings
    from streamvlm_ros.nodes.images.compressed import decode_compressed
    from streamvlm_ros.nodes.images.images import decode_image, ImageError
    from streamvlm_ros.stamps import to_nanoseconds

    most = StreamSettings().max_image_pixels
    for message in read_images(path):
        decode = decode_compressed if is_compressed(message) else decode_image
        try:
            yield to_nanoseconds(message.header.stamp), decode(message, most)
        except ImageError as error:
            raise CommandError(f'{path}: {error}') from error


def _progress(text: str) -> None:
    print(f'streamvlm: {text}', file=sys.stderr, flush=True)
