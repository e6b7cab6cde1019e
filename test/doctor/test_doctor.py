# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`streamvlm doctor` finds what is wrong with a machine, and says what to do."""

from __future__ import annotations

import builtins
import importlib.metadata
import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
import torch

from streamvlm_ros.cli import main
from streamvlm_ros.doctor import machine, packages
from streamvlm_ros.doctor.finding import bad, examine, Finding, ok, Verdict
from streamvlm_ros.doctor.model import check_model
from streamvlm_ros.doctor.topic import check_topic

TIME = 60.0


def only(found: Any) -> Finding:
    (finding,) = found
    return finding


def test_python_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(packages.check_python()).verdict is Verdict.OK
    monkeypatch.setattr(sys, 'version_info', (3, 8, 0, 'final', 0))
    found = only(packages.check_python())
    assert found.verdict is Verdict.BAD and '3.8.0 is not from 3.10 to 3.13' in found.text
    assert {each.verdict for each in packages.check_packages()} == {Verdict.OK}
    versions = {'torch': '2.13.0', 'transformers': '4.57.0', 'av': '18.1.0'}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError
        return versions[name]

    monkeypatch.setattr(importlib.metadata, 'version', version)
    by_name = {each.name: each for each in packages.check_packages()}
    assert by_name['transformers'].verdict is Verdict.BAD
    assert 'pip install "transformers' in by_name['transformers'].remedy
    assert by_name['torchao'].verdict is Verdict.NOTE
    assert by_name['torch'].verdict is Verdict.OK


@pytest.mark.parametrize(
    ('has_driver', 'cuda', 'verdict', 'said'),
    [
        (False, None, Verdict.NOTE, 'There is none'),
        (True, None, Verdict.BAD, 'is a build for CPUs'),
        (True, '12.8', Verdict.BAD, 'does not see it'),
    ],
)
def test_a_gpu_that_pytorch_does_not_use(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    has_driver: bool,
    cuda: str | None,
    verdict: Verdict,
    said: str,
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    monkeypatch.setattr(packages, 'DRIVER', tmp_path if has_driver else tmp_path / 'none')
    found = only(packages.check_gpu())
    assert found.verdict is verdict and said in found.text
    assert only(packages.check_triton()).verdict is Verdict.NOTE


def test_a_gpu_and_its_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that stands for one with a GPU."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda index: 'A card')
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda index: (2 * 10**9, 8 * 10**9))

    def ones(size: int, device: str) -> Any:
        raise RuntimeError('no kernel image is available\nfor this card')

    with monkeypatch.context() as patch:
        patch.setattr(torch, 'ones', ones)
        found = only(packages.check_gpu())
        assert found.verdict is Verdict.BAD and found.text.endswith(
            'no kernel image is available.'
        )
    monkeypatch.setattr(torch, 'ones', lambda size, device: torch.zeros(1))
    assert '2.0 of 8.0 GB free' in only(packages.check_gpu()).text
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    found = only(packages.check_triton())
    assert found.verdict is Verdict.BAD and 'apt install gcc' in found.remedy
    monkeypatch.setattr(shutil, 'which', lambda name: f'/usr/bin/{name}')
    monkeypatch.setattr(packages.sysconfig, 'get_path', lambda name: '/no/such/include')
    found = only(packages.check_triton())
    assert found.verdict is Verdict.BAD and 'python3-dev' in found.remedy


def test_memory_sockets_and_disks(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    small = usage._replace(total=64 << 20, free=10 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(machine, 'SHARED_MEMORY', tmp_path)
        assert only(machine.check_shared_memory()).verdict is Verdict.OK
        patch.setattr(shutil, 'disk_usage', lambda path: small)
        found = only(machine.check_shared_memory())
        assert found.verdict is Verdict.BAD and '10 of 64 MiB are free' in found.text
        found = only(machine.check_disk(tmp_path / 'not' / 'there'))
        assert found.verdict is Verdict.BAD and 'Make room' in found.remedy
    assert only(machine.check_disk(tmp_path / 'not' / 'there')).verdict is Verdict.OK
    (tmp_path / 'file').write_text('no folder')
    assert 'cannot be written' in only(machine.check_disk(tmp_path / 'file' / 'below')).text
    most = tmp_path / 'rmem_max'
    monkeypatch.setattr(machine, 'RECEIVE_BUFFER', most)
    for text, verdict in (
        ('212992\n', Verdict.NOTE),
        ('16777216\n', Verdict.OK),
        ('', Verdict.NOTE),
    ):
        most.write_text(text)
        assert only(machine.check_sockets()).verdict is verdict


def test_models(model_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert 'tiny fits cpu' in only(check_model('tiny', 'cpu')).text
    found = only(check_model('/no/such/folder', 'cpu'))
    assert found.verdict is Verdict.BAD and 'does not exist' in found.text
    found = only(check_model('Nobody/Nothing-3B', 'cpu'))
    assert 'streamvlm pull Nobody/Nothing-3B fetches it' in found.text
    folder = shutil.copytree(model_folder, tmp_path / 'model')
    for file in folder.glob('*.safetensors'):
        file.unlink()
    assert only(check_model(str(folder), 'cpu')).verdict is Verdict.BAD


def test_without_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition('.')[0] == 'rclpy':
            raise ImportError("No module named 'rclpy'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    monkeypatch.setattr(
        machine.importlib, 'import_module', lambda name: without(name, fromlist=('x',))
    )
    found = only(machine.check_ros())
    assert found.verdict is Verdict.NOTE and "No module named 'rclpy'" in found.text
    assert only(check_topic('/camera', 1.0)).verdict is Verdict.BAD


def test_a_check_that_fails_does_not_end_the_others() -> None:
    def broken() -> Any:
        raise RuntimeError('out of\nluck')

    found = list(examine([('One', broken), ('Two', lambda: [ok('Two', 'Fine.')])]))
    assert [each.verdict for each in found] == [Verdict.BAD, Verdict.OK]
    assert 'out of luck' in found[0].text
    assert bad('A', 'Wrong.', 'Mend it.').line() == 'bad   A: Wrong. Mend it.'


def test_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    line = ['doctor', '--save-folder', str(tmp_path), '--device', 'cpu']
    assert main.main(line) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith('ok    Python: ') and 'Nothing has to be mended.' in printed.err
    assert main.main([*line, '--model', '/no/such/model', '--json']) == 1
    told = json.loads(capsys.readouterr().out)
    assert told['ok'] is False
    assert [each['name'] for each in told['findings'] if each['verdict'] == 'bad'] == ['Model']
    assert main.main([*line, '--seconds', '0']) == 1
    assert '--seconds is 0; give 0.1 to 600.' in capsys.readouterr().err


def test_a_topic(domain: int) -> None:
    """A camera in a process of its own; then a topic that is none, and one that has no images."""
    from support.nodes import camera_process
    from support.nodes.raw_client import Client

    found = only(check_topic('/nothing', 1.0))
    assert found.verdict is Verdict.BAD and 'Nothing publishes on it.' in found.text
    camera = [sys.executable, camera_process.__file__, 'reliable', '0']
    with subprocess.Popen(camera, stdin=subprocess.PIPE) as process, Client() as client:
        try:
            assert client.wait_until(
                lambda: bool(client.node.get_publishers_info_by_topic('/image')), TIME
            )
            findings = list(check_topic('/image', 2.0))
            text = next(each.text for each in findings if each.verdict is Verdict.OK)
            assert 'images a second arrive of ' in text and ', reliable; ' in text
            wrong = only(check_topic('/rosout', 1.0))
            assert 'which is no image' in wrong.text
        finally:
            process.communicate(timeout=TIME)
