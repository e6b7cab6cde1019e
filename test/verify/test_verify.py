# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`streamvlm verify` with real processes: what it says of `tiny`, and that none is left behind."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from support.models.random_models import PIXELS
from support.models.random_qwen3 import write_folder
import torch

from streamvlm_ros.cli import main
from streamvlm_ros.cli import verify as command
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.verify import streamed, verify
from streamvlm_ros.verify.clips import generated
from streamvlm_ros.verify.stock_inputs import patches_of

TIME = 120.0
# Asks the stock process for a model that is not there, which is noticed after its imports only.
ASKING = """
from streamvlm_ros import interrupts
interrupts.install()
from streamvlm_ros.verify.clips import generated
from streamvlm_ros.verify.exchange import Asked
from streamvlm_ros.verify.process import ask_stock
ask_stock(
    Asked(
        '/no/model', 'cpu', 'float32', 'none', '', False, 1, 1, 1, [], [], [], [], '', '', [], 1
    ),
    [],
)
"""


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict, str]:
    """Run the verb; return its exit code, its JSON, and what it told."""
    code = main.main(['verify', 'tiny', '--quick', '--device', 'cpu', '--json', *arguments])
    told = capsys.readouterr()
    return code, json.loads(told.out or '{}'), told.err


def test_tiny_streams_losslessly_and_a_changed_weight_is_noticed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stock process runs once; its words are compared with those of two engines."""
    said = []
    monkeypatch.setattr(
        verify, 'ask_stock', lambda *args, ask=verify.ask_stock: said.append(ask(*args)) or said[0]
    )
    code, found, told = verified(capsys)
    assert (code, found['differences']) == (0, []), found
    assert found['sentence'].startswith('tiny streams losslessly: all 8 answers are those of')
    assert {(case['mode'], case['chunk']) for case in found['cases']} == {
        (mode, chunk) for mode in ('continuous', 'append') for chunk in (2, 4)
    }
    assert 'case 8 of 8' in told and found['stock']['weights'] == found['ours']['weights'] > 0
    monkeypatch.setattr(verify, 'ask_stock', lambda *args: said[0])
    load = streamed.load_streams

    def load_changed(*args: Any, **kwargs: Any) -> Any:
        [engine] = load(*args, **kwargs)
        with torch.no_grad():
            next(p for p in engine.model.parameters() if p.ndim > 1).mul_(0.5)
        return [engine]

    monkeypatch.setattr(streamed, 'load_streams', load_changed)
    code, found, _ = verified(capsys)
    assert code == command.DIFFERS and not found['lossless']
    assert 'the first logits of 8 of 8 streams' in found['sentence']
    assert 'pixels' not in found['sentence']


def test_a_family_that_writes_times(tmp_path: pathlib.Path) -> None:
    """A random Qwen3-VL: stock gets the whole clip with its times, in both modes."""
    report = verify.verify(str(write_folder(tmp_path)), quick=True, device='cpu')
    assert report.differences == []
    assert len(report.cases) == 8 and all(case.prompt for case in report.cases)
    assert max(case.distance for case in report.cases) < 1e-4


def test_the_written_out_pixels_are_the_engines() -> None:
    """Where torchvision is missing they stand for stock's, which test_frames.py holds too."""
    for clip in generated(quick=True):
        frames = clip.frames[: len(clip.frames) // 2 * 2]
        patches, grid = patches_of(
            frames, PIXELS.min_pixels, PIXELS.max_pixels, PIXELS.mean, PIXELS.std
        )
        ours, merged = to_patches(frames, PIXELS, torch.device('cpu'))
        assert (merged.t, 2 * merged.h, 2 * merged.w) == grid
        assert torch.allclose(patches, ours, atol=1e-6)


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('/no/such/model',), 'does not exist'),
        (('tiny', '--device', 'cuda:77'), 'cuda:77'),
        (('tiny', '--video', '/no/such/clip.mp4'), 'does not exist'),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.setattr(verify, 'ask_stock', lambda *_: pytest.fail('The work has begun.'))
    assert main.main(['verify', *arguments]) == command.NOT_RUN
    assert sentence in capsys.readouterr().err


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    try:
        return [
            int(each)
            for each in pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        ]
    except OSError:
        return []


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] == 'Z'
    except OSError:
        return True


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_the_stock_process_never_outlives_the_command(tmp_path: pathlib.Path, number: Any) -> None:
    environment = {**os.environ, 'TMPDIR': str(tmp_path)}
    with subprocess.Popen([sys.executable, '-c', ASKING], env=environment) as process:
        deadline = time.monotonic() + TIME
        while not (found := children(process.pid)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(TIME) != 0
    while not is_gone(found[0]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if number == signal.SIGINT:
        assert not list(tmp_path.iterdir())
