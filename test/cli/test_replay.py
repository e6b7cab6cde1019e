# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag through a real topic into the node gives what the engine gives on the same frames."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='rosbags is not installed: run make test')

from support.sources.mjpeg_server import MjpegServer
from support.sources.videos import numbered, write_video

from streamvlm_ros.bags import bags
from streamvlm_ros.cli import main, replay
from streamvlm_ros.errors import CommandError
from streamvlm_ros.nodes.loading import load_engine
from streamvlm_ros.nodes.parameters.parameters import check_values
from streamvlm_ros.stamps import to_nanoseconds

FRAMES, RATE = 45, 10.0
START_NS = 1_700_000_000_000_000_000
SETTINGS: dict[str, Any] = {'sample_rate': 5.0, 'capacity': 2048, 'device': 'cpu'}
QUESTION, CHOICES = 'What happened?', ['a ball came', 'a box came', 'nothing']
TOKENS = 24


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a bag whose stamps jitter and have a gap."""
    rng = np.random.default_rng(3)
    times = np.arange(FRAMES) / RATE + rng.uniform(-0.02, 0.02, FRAMES)
    times[30:] += 0.7
    frames = rng.integers(0, 256, (FRAMES, 56, 84, 3), np.uint8)
    folder = tmp_path_factory.mktemp('bags') / 'bag'
    stamps = [START_NS + int(t * 1e9) for t in times - times[0]]
    bags.write_bag(folder, list(frames), stamps, '/camera')
    return folder


def test_node_answers_as_the_engine(
    domain: int, bag: pathlib.Path, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from support.nodes.node_process import Camera, NodeProcess

    engine = load_engine(check_values({'model': str(model_folder), **SETTINGS}), print)
    counts = replay.feed(engine, bags.read_recorded(bag))
    assert counts['frames_ingested'] > 15
    assert counts['frames_sampled_out'] > 15
    with NodeProcess(tmp_path, model=model_folder, **SETTINGS) as node, Camera(node) as client:
        client.wait_ready()
        player = [sys.executable, '-m', 'streamvlm_ros.bags.player', str(bag), '/image']
        assert subprocess.run(player, timeout=60, check=False).returncode == 0
        status = client.wait_status(lambda s: s.frames_received == FRAMES and not s.frames_waiting)
        assert status.frames_ingested == counts['frames_ingested']
        assert status.frames_sampled_out == counts['frames_sampled_out']
        assert (status.frames_dropped, status.frames_failed, status.last_error) == (0, 0, '')
        answer = client.ask(QUESTION, max_new_tokens=TOKENS, timeout=60.0).answer
        choice = client.ask_choice(QUESTION, CHOICES, timeout=60.0).answer
        assert node.stop() == 0
    text, metrics = engine.ask(QUESTION, max_new_tokens=TOKENS)
    assert answer.text == text
    assert answer.completion_tokens == metrics['completion_tokens'] == TOKENS
    assert answer.prompt_tokens == metrics['prompt_tokens']
    assert answer.frames == counts['frames_ingested']
    assert answer.oldest_stamp.sec * 10**9 + answer.oldest_stamp.nanosec == START_NS
    expected = engine.ask_choice(QUESTION, CHOICES)
    assert choice.choice_index == expected.index
    np.testing.assert_allclose(choice.choice_probabilities, expected.probabilities, atol=1e-6)


def test_replay_verb(
    bag: pathlib.Path, model_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f'{name}:={value}' for name, value in SETTINGS.items()]
    settings += [f'model:={model_folder}', f'max_new_tokens:={TOKENS}']
    options = [part for setting in settings for part in ('-p', setting)]
    line = ['replay', str(bag), '--ask', QUESTION, '--json', *options]
    assert main.main(line) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['frames_failed'] == 0
    assert result['answers'][0]['completion_tokens'] == TOKENS
    assert main.main([*line, '--choice', 'yes', '--choice', 'no', '--until', '2']) == 0
    shorter = json.loads(capsys.readouterr().out)
    assert shorter['frames_ingested'] < result['frames_ingested']
    assert sum(shorter['answers'][0]['choice_probabilities']) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ('line', 'sentence'),
    [
        (['/no/such/bag'], 'There is no file /no/such/bag.'),
        (['{bag}', '--topic', '/other'], 'has no images on /other; it has: /camera (45 sensor_'),
        (['{bag}', '-p', 'chunk_frames:=3'], "The parameter 'chunk_frames' must be from 2 to 8"),
        (['{bag}', '-p', 'chunk_frames'], "'chunk_frames' is not NAME:=VALUE."),
        (['{bag}', '-p', 'model:=/no/such'], 'The model folder /no/such does not exist'),
        (['{folder}'], ', and is no bag either.'),
    ],
)
def test_replay_that_cannot_be(
    bag: pathlib.Path,
    model_folder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
    line: list[str],
    sentence: str,
) -> None:
    line = [part.format(bag=bag, folder=tmp_path) for part in line]
    if not any(part.startswith('model') for part in line):
        line += ['-p', f'model:={model_folder}']
    assert main.main(['replay', *line, '--ask', 'What?']) == 1
    assert sentence in capsys.readouterr().err


def written(folder: pathlib.Path, stamps: list[int]) -> pathlib.Path:
    """Return a bag of images with these stamps, in this order."""
    frames = list(np.random.default_rng(4).integers(0, 256, (len(stamps), 56, 56, 3), np.uint8))
    bags.write_bag(folder, frames, stamps, '/camera')
    return folder


def test_stamps_that_misbehave_are_told_as_in_the_node(
    model_folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = load_engine(check_values({'model': str(model_folder), **SETTINGS}), print)
    hour = 3600 * 10**9
    steps = [0, 10**9, 10**9 - 10**6, 2 * hour, 2 * 10**9, 3 * 10**9, 9 * hour, 9 * hour + 10**9]
    stamps = [START_NS + step for step in steps]
    # Sorted by their places: a bag's reader yields them by their times of recording.
    images = bags.read_images(written(tmp_path / 'bag', sorted(stamps)))
    by_stamp = {to_nanoseconds(image.header.stamp): image for image in images}
    counts = replay.feed(engine, [(i * 10**9, by_stamp[stamp]) for i, stamp in enumerate(stamps)])
    assert counts == {
        'frames_ingested': 6,
        'frames_sampled_out': 0,
        'frames_late': 1,
        'frames_failed': 1,
        'frames_dropped': 0,
    }
    assert engine.get_cache_info().epoch == 0
    assert 'stamped 7199 s after the newest one' in capsys.readouterr().err
    # The last one is held back, and the bag is at its end.
    ahead = by_stamp[START_NS + 2 * hour]
    engine.reset()
    counts = replay.feed(engine, [(0, by_stamp[START_NS]), (1, ahead)])
    assert counts['frames_ingested'] == 2
    assert engine.newest_stamp_ns == START_NS + 2 * hour


def test_without_stamps_a_bag_is_sampled_by_its_times_of_recording(
    model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    recorded = [START_NS + i * 10**8 for i in range(30)]
    images = list(bags.read_recorded(written(tmp_path / 'bag', recorded)))
    assert [time for time, _ in images] == recorded
    fixed = [(time, images[0][1]) for time in recorded]
    settings = {'model': str(model_folder), **SETTINGS, 'time_source': 'uniform'}
    counts = []
    for every in (False, True):
        engine = load_engine(check_values({**settings, 'every_frame': every}), print)
        counts.append(replay.feed(engine, fixed)['frames_ingested'])
        assert engine.epoch == 0
    assert counts == [15, 30]


def test_bag_keeps_frames_and_stamps(bag: pathlib.Path) -> None:
    messages = list(bags.read_images(bag, '/camera'))
    assert len(messages) == FRAMES
    assert to_nanoseconds(messages[0].header.stamp) == START_NS
    assert messages[0].header.frame_id == 'camera'
    with pytest.raises(CommandError):
        list(bags.read_images(bag, '/nowhere'))


@pytest.mark.parametrize('kind', ['video', 'folder', 'url'])
def test_replay_takes_other_sources(
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    clip = write_video(tmp_path / 'clip.mp4', list(range(0, 1000, 100)))
    source, options = str(clip), ['-p', 'sample_rate:=5.0']
    if kind == 'folder':
        folder = tmp_path / 'pictures'
        folder.mkdir()
        for i in range(10):
            cv2.imwrite(str(folder / f'{i}.png'), numbered(i))
        source, options = str(folder), [*options, '--folder-rate', '10']
    with MjpegServer(clip) as server:
        if kind == 'url':
            source = server.url('clip.mp4')
        options += ['-p', f'model:={model_folder}', '-p', 'max_new_tokens:=3']
        line = ['replay', source, '--ask', QUESTION, '--json', *options]
        assert main.main(line) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result['frames_ingested'], result['frames_sampled_out']) == (5, 5)
        assert result['answers'][0]['completion_tokens'] == 3
        if kind == 'url':
            assert main.main(['replay', server.url('plain'), '--ask', 'What?']) == 1
            assert 'has no end; say with --until SEC' in capsys.readouterr().err
