# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The set-up: which steps run, what a step shows, and the sentence when one fails."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest

from scripts.setup import command, steps
from scripts.setup.checks import SetupError
from scripts.setup.state import State

LINES = "import sys; print('out', flush=True); print({!r}, file=sys.stderr); sys.exit({})"


@pytest.fixture
def logs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(command, 'LOGS', tmp_path)
    return tmp_path


def test_a_step_says_its_title_and_how_long_it_took(
    logs: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command.run('[1/4] title', [sys.executable, '-c', LINES.format('err', 0)], 'name')
    out, err = capfd.readouterr()
    assert out == '' and err.startswith('[1/4] title\n[1/4] title  done in ')
    assert (logs / 'name.log').read_text() == 'out\nerr\n'


@pytest.mark.parametrize(
    'line, sentence',
    [
        ('No space left on device', 'the disk is full: the packages need 3 GB'),
        ('NewConnectionError(...)', 'pip cannot reach its package index'),
        ('No matching distribution found for torch==9', 'pip finds no torch==9 for this Python'),
        ('something else', 'the step "name" failed; the end of its log says why'),
    ],
)
def test_a_step_that_fails_says_why_and_where_its_log_is(
    logs: pathlib.Path, line: str, sentence: str
) -> None:
    with pytest.raises(SetupError) as caught:
        command.run('title', [sys.executable, '-c', LINES.format(line, 1)], 'name')
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(f'(log: {logs / "name.log"})')


def test_a_long_step_shows_the_newest_line_of_its_log(
    logs: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command waits until that was shown: else this test ends by its own time-out."""
    shown = []

    def show(line: str, end: str = '') -> None:
        shown.append(line)
        if 'Downloading torch (184 MB)' in line:
            (logs / 'seen').touch()

    program = f"""
import pathlib, time
print('Collecting torch')
print('  Downloading torch (184 MB)', flush=True)
end = time.monotonic() + 60
while not pathlib.Path({str(logs / 'seen')!r}).exists():
    assert time.monotonic() < end
    time.sleep(0.01)
"""
    monkeypatch.setattr(command, '_show', show)
    monkeypatch.setattr(command, '_INTERVAL', 0.05)
    command.run('title', [sys.executable, '-c', program], 'name')
    assert shown[0] == 'title' and shown[-1].startswith('title  done in ')


def test_a_state_survives_and_one_that_was_cut_off_is_empty(tmp_path: pathlib.Path) -> None:
    state = State(tmp_path / 'state')
    assert state.key('a') is None
    state.note('a')
    state.note('b', 'key')
    read = State(tmp_path / 'state')
    assert (read.key('a'), read.key('b')) == ('', 'key')
    (tmp_path / 'state').write_text((tmp_path / 'state').read_text()[:9])
    assert State(tmp_path / 'state').key('b') is None


def test_a_step_runs_when_its_inputs_change_or_it_broke_off(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def step(name: str) -> Any:
        def run(state: State, key: str, *_: Any) -> None:
            ran.append(name)
            if name == 'python':
                state.clear()
            label = {'ros': 'ros jazzy', 'build': 'build jazzy'}.get(name, name)
            state.note(label, key)

        return run

    requirements = tmp_path / 'requirements'
    requirements.mkdir()
    packages = requirements / 'packages.txt'
    for file in (packages, *(requirements / f'{n}.txt' for n in ('engine', 'build', 'jazzy'))):
        file.write_text('')
    (tmp_path / 'scripts' / 'setup').mkdir(parents=True)
    (tmp_path / 'scripts' / 'setup' / 'mend.py').write_text('')
    (tmp_path / 'install' / 'jazzy' / 'streamvlm_ros').mkdir(parents=True)
    for name, value in {
        'ROOT': tmp_path,
        '_STATE': tmp_path / 'state',
        '_REQUIREMENTS': requirements,
        '_PACKAGES': [packages],
        '_build_inputs': list,
        '_make_venv': step('python'),
        '_install_packages': step('packages'),
        '_install_ros': step('ros'),
        '_build': step('build'),
    }.items():
        monkeypatch.setattr(steps, name, value)

    def runs() -> list[str]:
        ran.clear()
        steps.set_up('jazzy')
        return list(ran)

    assert runs() == ['python', 'packages', 'ros', 'build']
    assert runs() == []
    packages.write_text('pytest')
    assert runs() == ['packages']
    (requirements / 'jazzy.txt').write_text('ros')
    assert runs() == ['ros', 'build']
    State(tmp_path / 'state').note('packages')
    assert runs() == ['python', 'packages', 'ros', 'build']
    (tmp_path / 'install' / 'jazzy' / 'streamvlm_ros').rmdir()
    assert runs() == ['build']
