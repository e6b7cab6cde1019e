# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render a model's chat template, which is a program by the maker of the model.

It runs in a process of its own (``template_process.py``), in Jinja's sandbox, with limits.
"""

from __future__ import annotations

from collections.abc import Mapping
import functools
import json
import pathlib
import signal
import subprocess
import sys
from typing import Any

SECONDS = 5  # of computing; Qwen's own takes a few milliseconds
PATIENCE = 120.0  # seconds on the clock, for a machine that is busy
MEMORY = 1 << 30  # bytes of address space
LENGTH = 1 << 20  # characters that it may render


def render(template: str, name: str, variables: Mapping[str, Any]) -> str:
    """Return what a template renders.

    Args:
        template: Jinja source.
        name: where it is from, for the fault's sentence.
        variables: what it is given; what JSON can say.

    Raises:
        ValueError: it cannot be rendered, or does not end within its limits.

    """
    try:
        return _render(template, json.dumps(dict(variables)))
    except ValueError as error:
        raise ValueError(
            f'The chat template {name} cannot be rendered: '
            f'{str(error).rstrip(".")}. Take the one '
            'that the model was published with.'
        ) from error


@functools.lru_cache(maxsize=64)
def _render(template: str, variables: str) -> str:
    request = {
        'path': sys.path,
        'template': template,
        'variables': json.loads(variables),
        'seconds': SECONDS,
        'memory': MEMORY,
        'length': LENGTH,
    }
    program = pathlib.Path(__file__).with_name('template_process.py')
    try:
        # A session of its own, so that a Ctrl-C does not reach it.  -I: no file beside the program
        # is imported in the place of a module of Python's.
        done = subprocess.run(
            [sys.executable, '-I', str(program)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=PATIENCE,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f'it does not end within {PATIENCE:g} s') from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ValueError(f'it takes more than {SECONDS} s of computing, or all memory')
    if done.returncode != 0:
        last = (done.stderr.decode(errors='replace').strip().splitlines() or [''])[-1]
        raise ValueError(f'its process ended with code {done.returncode} ({last:.200})')
    reply = json.loads(done.stdout)
    if 'fault' in reply:
        raise ValueError(reply['fault'])
    return str(reply['text'])
