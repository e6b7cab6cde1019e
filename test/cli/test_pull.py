# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`streamvlm pull`, and models by their hub id, against a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

from huggingface_hub import constants
import pytest
from safetensors.torch import load_file, save_file
from support.models.hub_server import HubServer

from streamvlm_ros.cli import main
from streamvlm_ros.engine import load_model, resolve_model, StreamSettings
from streamvlm_ros.engine.kvcache import allocation
from streamvlm_ros.engine.models.hub import repository
from streamvlm_ros.engine.serving.loading import folder_of, load_streams

NAME = 'someone/model'
WEIGHTS = 'model.safetensors'


@pytest.fixture
def published(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder in the published layout, which a test may change."""
    return pathlib.Path(
        shutil.copytree(
            resolve_model('tiny'),
            tmp_path / 'published',
            ignore=shutil.ignore_patterns('README.md'),
        )
    )


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Use an empty cache of the hub."""
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the hub be at a URL; its library reads HF_ENDPOINT when it is imported."""
    monkeypatch.setattr(constants, 'ENDPOINT', url)
    template = f'{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}'
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)


@pytest.fixture
def hub(
    published: pathlib.Path, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    """Serve the folder as the hub."""
    with HubServer(published, NAME) as server:
        use(monkeypatch, server.url)
        yield server


@pytest.fixture
def no_hub(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub be where nobody listens."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        use(monkeypatch, f'http://127.0.0.1:{taken.getsockname()[1]}')


def pull(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main.main(['pull', NAME, '--device', 'cpu', *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def into_shards(folder: pathlib.Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    places = {}
    for number in (1, 2):
        part = {name: tensors[name] for name in names[number - 1 :: 2]}
        file = f'model-0000{number}-of-00002.safetensors'
        save_file(part, folder / file, metadata={'format': 'pt'})
        places |= dict.fromkeys(part, file)
    index = {'metadata': {'total_size': 1}, 'weight_map': places}
    (folder / f'{WEIGHTS}.index.json').write_text(json.dumps(index))


@pytest.mark.parametrize('shards', [False, True])
def test_fetches_tells_and_loads(
    hub: HubServer, capsys: pytest.CaptureFixture[str], shards: bool
) -> None:
    if shards:
        into_shards(hub.folder)
    (hub.folder / 'pytorch_model.bin').write_bytes(b'a program')
    code, out, err = pull(capsys)
    assert code == 0, err
    assert f'{NAME}: 11.' in out and ('in 2 files' if shards else 'in one file') in out
    assert 'On cpu, where ' in out
    for quantization in ('none', 'int8', 'int4'):
        assert re.search(f'  quantization {quantization}: .* MB, fits', out)
    assert 'with a cache of 16,384 tokens (0.13 GB):' in out
    assert 'That cache keeps 20 min of a camera of 640 x 480 at 2 images a second.' in out
    assert re.search(r'With quantization none there is room for [0-9,]+ tokens', out)
    assert f'Start it with model:={NAME}' in out
    assert '(100 %)' in err and '\r' not in err and '%|' not in err
    assert 'pytorch_model.bin' not in hub.files_asked()
    asked = hub.requests
    engine = load_streams(NAME, [StreamSettings(capacity=512)], device='cpu')[0]
    assert sum(p.numel() for p in engine.model.parameters()) > 5_000_000
    assert hub.requests == asked  # what is in the cache is loaded with no look at the hub


def test_what_is_told_is_what_the_engine_takes(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = pull(capsys)
    engine = load_streams(NAME, [StreamSettings()], device='cpu')[0]
    weights = sum(p.nbytes for p in engine.model.parameters())
    memory = engine.get_cache_info().memory_bytes
    assert f'quantization none: {weights / 1e6:.1f} MB, fits' in out
    assert f'a cache of 16,384 tokens ({memory / 1e9:.2f} GB)' in out


def test_into_a_folder(
    hub: HubServer, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    code, out, err = pull(capsys, '--folder', tmp_path / 'here')
    assert code == 0, err
    assert f'Start it with model:={tmp_path / "here"}' in out
    served, got = hub.folder / WEIGHTS, tmp_path / 'here' / WEIGHTS
    assert got.read_bytes() == served.read_bytes()
    assert load_model(tmp_path / 'here').parts.heads > 0


def test_goes_on_where_it_was_cut(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The connection breaks in the midst of the weights; the rest only is fetched after that."""
    hub.cut_at = 11_000_000
    code, _, err = pull(capsys)
    if code:  # the library does not try again by itself
        code, _, err = pull(capsys)
    assert code == 0, err
    parts = [part for method, name, part in hub.asked if (method, name) == ('GET', WEIGHTS)]
    # The library writes pieces of 10 MiB.
    assert parts[0] == '' and parts[-1] == f'bytes={10 << 20}-'
    assert load_streams(NAME, [StreamSettings(capacity=512)], device='cpu')


def test_a_family_that_is_not_run(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    (hub.folder / 'config.json').write_text(json.dumps({'model_type': 'llama'}))
    code, _, err = pull(capsys)
    assert code == 1 and 'holds a llama model; this package runs' in err
    assert hub.files_asked() == {'config.json'}


def test_a_model_that_does_not_fit(
    hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, 'available_bytes', lambda device: 50_000_000)
    code, out, err = pull(capsys)
    assert code == 1
    assert 'quantization none: ' in out and out.count('does not fit') == 3
    assert 'take a smaller model, or --anyway' in err
    assert WEIGHTS not in hub.files_asked()
    code, out, err = pull(capsys, '--anyway')
    assert code == 0 and WEIGHTS in hub.files_asked()


def test_only_a_look(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = pull(capsys, '--check')
    assert code == 0 and ', fits' in out
    assert WEIGHTS not in hub.files_asked()


def test_a_disk_that_is_full(
    hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage('/')._replace(free=repository.SPARE + 5_000_000)
    monkeypatch.setattr(repository.shutil, 'disk_usage', lambda _: usage)
    code, _, err = pull(capsys)
    assert code == 1 and f'{NAME} needs 0.01 GB more, and ' in err and 'make room' in err
    assert WEIGHTS not in hub.files_asked()


def test_a_shard_that_the_hub_lacks(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    into_shards(hub.folder)
    (hub.folder / 'model-00002-of-00002.safetensors').unlink()
    code, _, err = pull(capsys)
    assert code == 1 and f'{NAME} on the hub lacks model-00002-of-00002.safetensors' in err


def test_no_such_model(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    hub.name = 'someone/else'
    code, _, err = pull(capsys)
    assert code == 1 and f'{hub.url} has no model {NAME}.' in err and 'Traceback' not in err


def test_a_gated_model(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    hub.gated = True
    code, _, err = pull(capsys)
    assert code == 1 and f'{NAME} is gated: accept its terms at {hub.url}/{NAME}' in err
    assert 'HF_TOKEN' in err


@pytest.mark.parametrize('name', ['tiny', 'no name', 'a/b/c', 'a--b/..'])
def test_a_name_that_is_none(
    hub: HubServer, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main.main(['pull', name]) == 1
    assert 'is not the name of a model on the hub' in capsys.readouterr().err


def test_no_network(no_hub: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = pull(capsys)
    assert code == 1 and 'cannot be reached' in err and f'streamvlm pull {NAME}' in err
    with pytest.raises(OSError, match=rf'cannot be reached .*streamvlm pull {NAME}, or give'):
        folder_of(NAME)
    with pytest.raises(OSError, match=rf'not on this machine; streamvlm pull {NAME} fetches it'):
        load_model(NAME)


def test_a_network_that_swallows_everything(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub takes the connection and never answers: that is waited for once."""
    monkeypatch.setattr(repository, 'TIMEOUT', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        use(monkeypatch, f'http://127.0.0.1:{silent.getsockname()[1]}')
        with pytest.raises(OSError, match='cannot be reached'):
            folder_of(NAME)
        silent.settimeout(0.0)
        connections = 0
        while connections < 9:
            try:
                silent.accept()[0].close()
            except BlockingIOError:
                break
            connections += 1
        assert connections == 1


def test_offline(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(OSError, match='HF_HUB_OFFLINE forbids to ask the hub'):
        folder_of(NAME)


def test_half_a_model_in_the_cache_is_completed(
    hub: HubServer, cache: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull(capsys, '--check')
    assert resolve_model(NAME) != NAME
    told: list[str] = []
    folder = pathlib.Path(folder_of(NAME, told.append))
    assert (folder / WEIGHTS).is_file() and cache in folder.parents
    assert told[0].startswith(f'Fetching {NAME} from the hub; streamvlm pull')


def test_ctrl_c_is_clean(hub: HubServer, tmp_path: pathlib.Path) -> None:
    """The weights never end; a signal in the midst of them ends it without a word."""
    with open(hub.folder / WEIGHTS, 'ab') as weights:
        weights.truncate(400_000_000)
    environment = {'HF_ENDPOINT': hub.url, 'HF_HOME': str(tmp_path / 'home')}
    ran = subprocess.Popen(
        [sys.executable, '-m', 'streamvlm_ros.cli.main', 'pull', NAME, '--anyway'],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert ran.stdout is not None
    for line in ran.stdout:
        if line.startswith('On '):
            break
    ran.send_signal(signal.SIGINT)
    _, err = ran.communicate(timeout=60)
    assert ran.returncode == 128 + signal.SIGINT
    assert 'Traceback' not in err
