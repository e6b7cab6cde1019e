# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the passes launch compiles for the cards that matter, and fits their shared memory."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from support.kernels.absent_card import CARDS
from support.whole import whole

pytest.importorskip('triton', reason='Triton is not installed.')
ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope='module')
def cards(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Return what ``compile_passes`` says of each card; Triton keeps what it has compiled."""
    result = tmp_path_factory.mktemp('compiled') / 'result.json'
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    # Other tests have it interpret, which Triton notes in the environment.
    given = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    more = ['--whole'] if request.config.getoption('whole') else []
    done = subprocess.run(
        [sys.executable, '-m', 'support.kernels.compile_passes', str(result), *more],
        cwd=ROOT,
        timeout=900,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=given
        | {'PYTHONPATH': path, 'TRITON_CACHE_DIR': str(request.config.cache.mkdir('triton'))},
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return json.loads(result.read_text())


def test_every_launch_fits(cards: dict[str, Any]) -> None:
    """No kernel asks for more shared memory than a program may have on that card."""
    assert len(cards) > 1
    for name in cards:
        check_fits(name, cards)


@whole
def test_every_launch_fits_every_card(cards: dict[str, Any]) -> None:
    assert list(cards) == list(CARDS)
    for name in cards:
        check_fits(name, cards)


def check_fits(name: Any, cards: Any) -> None:
    assert cards[name]['shared'] == CARDS[name].shared
    assert min(cards[name]['launches'].values()) > 2
    assert [each for each in cards[name]['compiled'] if each[2] > CARDS[name].shared] == []
    assert {'segments._sequence', 'segments._batch', 'rows._skinny', 'int4.several'} <= {
        each[1] for each in cards[name]['compiled']
    }


def test_no_kernel_is_left_out(cards: dict[str, Any]) -> None:
    """A kernel that no pass in ``compile_passes`` launches would not be compiled here either."""
    assert cards['H100']['left_out'] == []


def test_chunks_and_questions_have_attention_of_their_own_on_hopper(cards: dict[str, Any]) -> None:
    """Choices, being trees, have Triton's; so has what runs on other cards."""
    made = {kernel for title, kernel, _ in cards['H100']['compiled'] if ', choices' not in title}
    assert 'hopper._sequence' in made and 'segments._sequence' not in made
    for name in set(cards) - {'H100'}:
        compiled = {kernel for _, kernel, _ in cards[name]['compiled']}
        assert 'segments._sequence' in compiled and 'hopper._sequence' not in compiled


def test_every_camera_shares_the_kernels_of_resizing(cards: dict[str, Any]) -> None:
    """A frame of a new size finds them compiled."""
    made = [name for title, name, _ in cards['H100']['compiled'] if title.endswith('frames')]
    assert sorted(made) == ['resize._along_columns', 'resize._along_rows']


@pytest.mark.parametrize('kernel', ['segments._sequence', 'hopper._sequence'])
def test_layers_and_lengths_share_attention(kernel: str, cards: dict[str, Any]) -> None:
    """Nobody waits for a compiler in the midst of a stream because a question has a new length."""
    made = [title for title, name, _ in cards['H100']['compiled'] if name == kernel]
    assert made and len(made) == len(set(made))
    assert not [title for title in made if title.endswith('of 100')]
