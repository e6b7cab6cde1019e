# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Standing questions in a real node: added, told of, listed, removed."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

from streamvlm_ros import environment
from streamvlm_ros.cli import main
from streamvlm_ros.msg import WatchEvent
from streamvlm_ros.srv import AddWatch, ListWatches

# What the random model answers on random pictures changes every few of them.
QUESTION, CHOICES = 'Who?', ['x', 'y']
# Any answer that is the most probable one holds at once.
EAGER: dict[str, Any] = {'threshold': 0.5, 'hold': 1}


class Scenes:
    """Publishes chunks of four frames; each scene is another random picture."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.chunks = 0

    def show(self, seed: int) -> float:
        """Show a scene for one chunk and return the stamp of its newest frame."""
        for _ in range(4):
            self.camera.publish(make_image(1000 * SECOND + self.camera.published * SECOND, seed))
        expected = self.camera.published
        self.camera.wait_status(lambda s: s.frames_ingested + s.frames_sampled_out == expected)
        return 1000.0 + expected - 1

    def show_until(self, events: list[WatchEvent], count: int) -> None:
        """Show new scenes until so many events have come."""
        for _ in range(20):
            if self.camera.wait_until(lambda: len(events) >= count, 0.5):
                return
            self.chunks += 1
            self.show(self.chunks)
        raise AssertionError(f'{len(events)} events have come, not {count}')


def test_events(domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Events agree with ask_choice on the same frames, and tell only of changes."""
    settings: dict[str, Any] = {'model': model_folder, 'sample_rate': 0.0}
    with NodeProcess(tmp_path, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        events = camera.events()
        assert camera.add_watch(QUESTION, CHOICES, name='light', **EAGER).name == 'light'
        check_refused(camera)
        scenes = Scenes(camera)
        scenes.show_until(events, 1)
        first = events[0]
        assert (first.name, first.question, first.choices) == ('light', QUESTION, CHOICES)
        assert (first.previous, first.epoch, first.header.frame_id) == ('', 0, 'camera')
        assert first.header.stamp == first.since
        scenes.show_until(events, 2)
        second = events[1]
        assert second.choice != first.choice == second.previous
        # What is asked now is asked on the same frames.
        answer = camera.ask_choice(QUESTION, CHOICES, timeout=20.0).answer
        assert answer.header == second.header
        assert (answer.text, answer.choice_index) == (second.choice, second.choice_index)
        assert list(answer.choice_probabilities) == pytest.approx(
            list(second.probabilities), abs=1e-5
        )
        check_list(camera, second)
        # A new epoch begins with no answer.
        assert camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
        scenes.show_until(events, 3)
        assert (events[2].previous, events[2].epoch) == ('', 1)
        assert camera.remove_watch('light').success
        assert camera.call(ListWatches, 'list_watches', ListWatches.Request()).watches == []
        before = len(events)
        for seed in range(50, 56):
            scenes.show(seed)
        # Services and topics of one node come in order enough for this: the answer is later.
        assert camera.ask(QUESTION, max_new_tokens=1, timeout=20.0).success
        assert len(events) == before
        assert node.stop() == 0
        assert 'Traceback' not in node.log()


def check_refused(camera: Camera) -> None:
    """See bad requests refused with a sentence."""
    for request, sentence in (
        (dict(question='', choices=CHOICES), 'The question is empty'),
        (dict(question=QUESTION, choices=['x']), 'give at least two'),
        (dict(question=QUESTION, choices=CHOICES, name='light'), "a watch named 'light' already"),
        (dict(question=QUESTION, choices=CHOICES, threshold=0.0), 'The threshold is 0.0'),
        (dict(question=QUESTION, choices=CHOICES, hold=0), 'hold is 0 chunks'),
    ):
        response = camera.call(AddWatch, 'add_watch', AddWatch.Request(**request))
        assert response.error_code == AddWatch.Response.INVALID_REQUEST
        assert sentence in response.error_msg and response.error_msg.endswith('.')
    response = camera.remove_watch('nobody')
    assert response.error_code == AddWatch.Response.INVALID_REQUEST
    assert "no watch named 'nobody'; there are: light." in response.error_msg


def check_list(camera: Camera, event: WatchEvent) -> None:
    """See the watch listed with the answer of its newest event."""
    response = camera.call(ListWatches, 'list_watches', ListWatches.Request())
    [watch] = response.watches
    assert response.success
    assert (watch.name, watch.question, watch.choices) == ('light', QUESTION, CHOICES)
    assert (watch.threshold, watch.hold) == (EAGER['threshold'], EAGER['hold'])
    assert (watch.choice, watch.choice_index) == (event.choice, event.choice_index)
    assert (watch.since, watch.stamp) == (event.since, event.header.stamp)
    assert list(watch.probabilities) == list(event.probabilities)


def test_from_the_parameter_and_the_command_line(
    domain: int,
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Watches are there from the start; `streamvlm watch` prints one event and takes its away."""
    lines = tmp_path / 'parameters.yaml'
    lines.write_text(
        '/**:\n  ros__parameters:\n    sample_rate: 0.0\n    watches: |\n'
        f'      light | {QUESTION} | {", ".join(CHOICES)} | threshold 0.5 | hold 1\n'
    )
    with (
        NodeProcess(tmp_path, lines, model=model_folder) as node,
        Camera(node) as camera,
    ):
        camera.wait_ready()
        events = camera.events()
        Scenes(camera).show_until(events, 1)
        assert events[0].name == 'light'
        command = [sys.executable, '-m', 'streamvlm_ros.cli.main', 'watch', QUESTION, *CHOICES]
        command += ['--threshold', '0.5', '--hold', '1', '--count', '1', '--json']
        with (
            open(tmp_path / 'out', 'wb') as out,
            environment.child(command, stdout=out, stderr=out) as shell,
        ):
            names = ['light', 'watch_1']
            assert camera.wait_until(lambda: listed(camera) == names, 60.0)
            Scenes(camera).show(77)
            assert camera.wait_until(lambda: shell.poll() is not None, 20.0)
            printed = (tmp_path / 'out').read_text()
            assert shell.poll() == 0, printed
        event = json.loads(printed)
        assert (event['name'], event['previous']) == ('watch_1', '')
        assert event['choice'] in CHOICES
        assert listed(camera) == ['light']
        assert main.main(['watch', QUESTION, 'x']) == 1
        assert 'give at least two' in capsys.readouterr().err
        check_settable(camera)
        assert node.stop() == 0


def listed(camera: Camera) -> list[str]:
    response = camera.call(ListWatches, 'list_watches', ListWatches.Request())
    return [watch.name for watch in response.watches]


def check_settable(camera: Camera) -> None:
    """Set policy and sample rate while the node runs: at 0.1 Hz the next frames are left out."""
    wanted = [('policy', 'balanced'), ('sample_rate', 0.1), ('policy', 'mine'), ('watches', '')]
    request = SetParameters.Request(
        parameters=[RosParameter(name, value=value).to_parameter_msg() for name, value in wanted]
    )
    results = camera.call(SetParameters, 'set_parameters', request).results
    assert [result.successful for result in results] == [True, True, False, False]
    assert 'must be one of frames_first' in results[2].reason
    before = camera.status
    assert before is not None
    Scenes(camera).show(88)
    after = camera.wait_status(lambda s: s.frames_received == before.frames_received + 4)
    # One of four is taken: the first of the new rate.
    assert after.frames_sampled_out == before.frames_sampled_out + 3


@pytest.mark.parametrize(
    ('watches', 'sentence'),
    [
        ('light | Who?', "is not of the form 'name | question | choice, choice'"),
        ('light | Who? | x', "The watch 'light' has 1 choice, 'x'; give at least two"),
    ],
)
def test_parameter_that_is_refused(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path, watches: str, sentence: str
) -> None:
    with NodeProcess(tmp_path, model=model_folder, watches=watches) as node:
        assert node.process.wait(90.0) == 1
        assert sentence in node.log()
        assert 'Traceback' not in node.log()
