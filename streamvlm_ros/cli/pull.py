# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch a model from the hub, and say whether it fits this machine and with what window."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from typing import TYPE_CHECKING

from streamvlm_ros.errors import CommandError

if TYPE_CHECKING:
    from streamvlm_ros.engine.models.hub.fetch import Download

LINE_TIME = 5.0  # seconds between two lines of progress that are not written to a terminal
REDRAW_TIME = 0.2  # and between two of a terminal, where each takes the place of the last


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('model', help='its hub id, such as Qwen/Qwen2.5-VL-3B-Instruct')
    parser.add_argument(
        '--folder',
        type=pathlib.Path,
        help="where to put it (the hub's cache, where the node finds it by its hub id)",
    )
    parser.add_argument(
        '--device', default='auto', help='where it is to run: auto, cpu, cuda:N (%(default)s)'
    )
    parser.add_argument(
        '--check', action='store_true', help='say whether it fits, and fetch no weights'
    )
    parser.add_argument(
        '--anyway',
        action='store_true',
        help='fetch a model that does not fit, for another machine',
    )


def run(arguments: argparse.Namespace) -> int:
    """Look at the model, fetch it and print what it takes; needs no ROS."""
    from streamvlm_ros.engine import StreamError
    from streamvlm_ros.engine.models.hub.fetch import Download

    folder = arguments.folder.expanduser() if arguments.folder else None
    try:
        download = Download(arguments.model, folder)
        print(f'{arguments.model}: {_about(download)}', flush=True)
        fits = _print_fit(download, arguments.device)
        if arguments.check:
            return 0 if fits else 1
        if not (fits or arguments.anyway):
            raise CommandError(
                f'{arguments.model} does not fit this machine, and its weights are not fetched; '
                'take a smaller model, or --anyway to fetch it for another machine.'
            )
        progress = Progress(download.bytes)
        where = download.finish(progress.add)
        progress.end()
    except (StreamError, OSError, ValueError) as error:
        raise CommandError(' '.join(str(error).split())) from error
    print(f'It is in {where}.')
    print(f'Start it with model:={where if folder else arguments.model}')
    return 0


def _about(download: Download) -> str:
    count = len(download.weights)
    files = 'one file' if count == 1 else f'{count} files'
    return f'{_size(download.bytes)} of weights in {files}.'


def _print_fit(download: Download, wanted: str) -> bool:
    """Say for each quantization what the model takes of a device; return whether one fits."""
    import torch

    from streamvlm_ros.engine import load_processor, pick_device, StreamSettings
    from streamvlm_ros.engine.kvcache.allocation import available_bytes
    from streamvlm_ros.engine.models.hub.size import build_empty, fit, quantizations_of, seconds_of
    from streamvlm_ros.engine.serving.loading import pick_dtype

    name = pick_device(wanted)
    device, dtype = torch.device(name), pick_dtype('auto', name)
    settings, pixels = StreamSettings(), load_processor(download.folder).pixels
    model = build_empty(download.folder, dtype)
    available = available_bytes(device)
    room = '' if available is None else f', where {_size(available)} are free'
    each = [
        fit(model, settings, device, quantization, pixels)
        for quantization in quantizations_of(model)
    ]
    slots = each[0].slots
    print(f'On {name}{room}, with a cache of {slots:,} tokens ({_size(each[0].cache)}):')
    for found in each:
        verdict = 'fits' if found.fits else 'does not fit'
        print(f'  quantization {found.quantization}: {_size(found.weights)}, {verdict}')
    best = next((found for found in each if found.fits), None)
    if best is not None:
        print(
            f'That cache keeps {_time(seconds_of(slots, settings, pixels))} of a camera of '
            f'640 x 480 at {settings.sample_rate:g} images a second.'
        )
        if best.most is not None:
            print(
                f'With quantization {best.quantization} there is room for {best.most:,} tokens '
                f'({_time(seconds_of(best.most, settings, pixels))}).'
            )
    sys.stdout.flush()
    return best is not None


def _time(seconds: float) -> str:
    for length, name in ((3600.0, 'h'), (60.0, 'min')):
        if seconds >= 2 * length:
            return f'{seconds / length:,.0f} {name}'
    return f'{seconds:.0f} s'


def _size(count: int) -> str:
    return f'{count / 1e9:.2f} GB' if count >= 1e8 else f'{count / 1e6:.1f} MB'


class Progress:
    """Tells how far a download is: in one line of a terminal, or in a few lines of a log."""

    def __init__(self, total: int) -> None:
        """Begin at 0 of so many bytes."""
        self._total, self._done = total, 0
        self._terminal = sys.stderr.isatty()
        self._began = self._told = time.monotonic()

    def add(self, count: int) -> None:
        """Count some bytes more, and tell of them now and then."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= (REDRAW_TIME if self._terminal else LINE_TIME):
            self._told = now
            self._write()

    def end(self) -> None:
        """Tell how far it came."""
        self._write()
        if self._terminal:
            print(file=sys.stderr)

    def _write(self) -> None:
        rate = self._done / max(time.monotonic() - self._began, 1e-3)
        text = (
            f'{_size(self._done)} of {_size(self._total)} '
            f'({100 * self._done // max(self._total, 1)} %), {rate / 1e6:.1f} MB/s'
        )
        start, end = ('\r', '\x1b[K') if self._terminal else ('', '\n')
        print(f'{start}{text}', end=end, file=sys.stderr, flush=True)
