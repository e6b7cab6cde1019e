# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Starting imports what the engine needs, and not what costs seconds and is not used."""

from __future__ import annotations

import subprocess
import sys

# Each was imported once, and took from half a second to five.
UNUSED = (
    'accelerate',
    'sympy',
    'torch._dynamo',
    'torch._inductor',
    'torch.distributed.tensor',
    'torchao',
    'transformers.generation.utils',
    'transformers.modeling_utils',
    'triton',
)
PROGRAM = f"""
import sys

import numpy

from streamvlm_ros.engine import load_streams, StreamSettings

[engine] = load_streams('tiny', [StreamSettings(capacity=512)], device='cpu')
for index in range(4):
    engine.append_frame(numpy.zeros((112, 112, 3), numpy.uint8), index / 2)
assert engine.ask('Is the light on?', 2)[0]
engine.ask_choice('Is the light on?', ['yes', 'no'])
print(*(name for name in {UNUSED} if name in sys.modules))
"""


def test_what_is_not_used_is_not_imported() -> None:
    """By a process that loads the embedded model and answers, on a CPU."""
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
