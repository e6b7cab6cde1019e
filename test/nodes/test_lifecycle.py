# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle: what each state offers, what each transition keeps, how each state ends."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import signal
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import SetBool, Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND
from support.nodes.raw_goals import Goals

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.srv import AddWatch, Ask, SaveStream

TIME = 60.0
NOT_ACTIVE = Ask.Response.NOT_ACTIVE
CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP


@pytest.fixture
def node(domain: int, tmp_path: pathlib.Path) -> Iterator[NodeProcess]:
    """Run a node whose model is not there, and that waits for a manager."""
    with NodeProcess(tmp_path, model='/no/such/folder', autostart=False) as process:
        yield process
        assert 'Traceback' not in process.log()


@pytest.fixture
def camera(node: NodeProcess) -> Iterator[Camera]:
    with Camera(node) as camera:
        assert camera.wait_until(lambda: camera.status is not None, 90.0), node.log()
        yield camera


def change(camera: Camera, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(camera.call(ChangeState, 'change_state', request, TIME).success)


def state(camera: Camera) -> int:
    return int(camera.call(GetState, 'get_state', GetState.Request(), 10.0).current_state.id)


def set_parameter(camera: Camera, name: str, value: Any) -> str:
    request = SetParameters.Request(
        parameters=[RosParameter(name, value=value).to_parameter_msg()]
    )
    result = camera.call(SetParameters, 'set_parameters', request).results[0]
    assert result.successful == (not result.reason)
    return str(result.reason)


def refused(camera: Camera) -> str:
    """Ask by every way while the node is not active, and return the sentence."""
    response = camera.ask('What?')
    assert (response.success, response.error_code) == (False, NOT_ACTIVE)
    for kind, name in ((AddWatch, 'add_watch'), (SaveStream, 'save')):
        assert camera.call(kind, name, kind.Request()).error_code == NOT_ACTIVE
    assert not camera.call(SetBool, 'set_paused', SetBool.Request(data=True)).success
    reset = camera.call(Trigger, 'reset', Trigger.Request())
    assert (reset.success, reset.message) == (False, response.error_msg)
    with Goals(camera) as goals:
        goal = goals.send(question='What?')
        assert camera.wait_until(lambda: goal.is_over, 10.0)
        assert goal.accepted is False
    return str(response.error_msg)


def feed(camera: Camera, start: int, count: int) -> StreamStatus:
    """Publish frames, one a second, and wait until the node has them all."""
    assert camera.wait_until(lambda: camera.subscribers > 0, 10.0)
    assert camera.status is not None
    before = camera.status.frames_ingested
    for i in range(start, start + count):
        camera.publish(make_image((1000 + i) * SECOND, i))
    return camera.wait_status(lambda status: status.frames_ingested == before + count)


def test_walk(node: NodeProcess, camera: Camera, model_folder: pathlib.Path) -> None:
    # Unconfigured.
    assert state(camera) == State.PRIMARY_STATE_UNCONFIGURED
    camera.wait_status(lambda status: status.state == StreamStatus.INACTIVE)
    assert 'configure' in refused(camera)
    # A model that is not there.
    assert not change(camera, CONFIGURE)
    assert state(camera) == State.PRIMARY_STATE_UNCONFIGURED
    sentence = 'The model folder /no/such/folder does not exist'
    assert sentence in node.log()
    camera.wait_status(lambda status: status.last_error.startswith(sentence))
    # Nor is one that would drive the terminal.
    assert set_parameter(camera, 'model', '/no\x1b[31mEVIL\n[INFO] forged') == ''
    assert not change(camera, CONFIGURE)
    assert 'EVIL [INFO] forged does not exist' in node.log()
    assert '\x1b[31mEVIL' not in node.log() and '\n[INFO] forged' not in node.log()
    # One that is.
    assert set_parameter(camera, 'model', str(model_folder)) == ''
    assert 'must be one of queue, reject, preempt' in set_parameter(camera, 'goal_policy', 'mine')
    assert change(camera, CONFIGURE)
    assert state(camera) == State.PRIMARY_STATE_INACTIVE
    status = camera.wait_status(lambda status: status.cache_capacity > 0)
    assert (status.state, status.last_error) == (StreamStatus.INACTIVE, '')
    assert 'activate' in refused(camera)
    assert camera.subscribers == 0
    assert 'clean the node up first' in set_parameter(camera, 'chunk_frames', 2)
    assert set_parameter(camera, 'sample_rate', 1.0) == ''
    # Active.
    assert change(camera, ACTIVATE)
    assert state(camera) == State.PRIMARY_STATE_ACTIVE
    feed(camera, 0, 4)
    before = camera.ask('What?', max_new_tokens=3).answer
    assert before.frames == 4
    # Inactive again: what is open ends, what was seen stays.
    request = Ask.Request(question='Tell me everything.', max_new_tokens=4000, timeout=600.0)
    asked = camera.start_call(Ask, 'ask', request)
    with Goals(camera) as goals:
        goal = goals.send(question='Tell me everything.', max_new_tokens=4000)
        assert camera.wait_until(lambda: bool(goal.feedback), 10.0)
        assert change(camera, DEACTIVATE)
        assert camera.wait_until(lambda: goal.is_over and asked.done(), 10.0)
    assert asked.result().error_code == NOT_ACTIVE
    assert goal.status == GoalStatus.STATUS_ABORTED
    assert goal.result.error_code == AnswerQuestion.Result.NOT_ACTIVE
    assert goal.result.answer.text == goal.feedback[-1].text
    assert camera.wait_until(lambda: camera.subscribers == 0, 10.0)
    camera.wait_status(lambda status: status.state == StreamStatus.INACTIVE)
    assert change(camera, ACTIVATE)
    again = camera.ask('What?', max_new_tokens=3).answer
    assert (again.text, again.frames, again.epoch) == (before.text, 4, before.epoch)
    feed(camera, 4, 2)
    assert camera.ask('What?', max_new_tokens=3).answer.frames == 6
    # A transition that is none from here.
    assert not change(camera, CONFIGURE)
    assert state(camera) == State.PRIMARY_STATE_ACTIVE
    # Cleaned up, and with another stream.
    assert change(camera, DEACTIVATE) and change(camera, CLEANUP)
    camera.wait_status(lambda status: status.cache_capacity == 0)
    assert 'configure' in refused(camera)
    assert set_parameter(camera, 'chunk_frames', 2) == ''
    assert change(camera, CONFIGURE) and change(camera, ACTIVATE)
    assert camera.ask('What?').error_code == Ask.Response.NO_FRAMES
    feed(camera, 0, 2)
    # For good.
    assert change(camera, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state(camera) == State.PRIMARY_STATE_FINALIZED
    assert 'was shut down' in refused(camera)
    assert node.stop(signal.SIGTERM) == 0


def test_what_is_told_while_the_model_loads(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Nobody waits for the model but who has asked for it."""
    program, gate = ['-m', 'support.nodes.slow_node'], tmp_path / 'gate'
    settings: dict[str, Any] = {'model': model_folder, 'autostart': False}
    with NodeProcess(tmp_path, program=(*program, gate), **settings) as node, Camera() as camera:
        assert camera.wait_until(lambda: camera.status is not None, 90.0), node.log()
        request = ChangeState.Request(transition=Transition(id=CONFIGURE))
        configuring = camera.start_call(ChangeState, 'change_state', request)
        camera.wait_status(lambda status: status.state == StreamStatus.LOADING)
        assert state(camera) == State.TRANSITION_STATE_CONFIGURING
        assert 'still being loaded' in refused(camera)
        assert 'clean the node up' in set_parameter(camera, 'model', 'tiny')
        assert set_parameter(camera, 'sample_rate', 0.5) == ''
        assert not configuring.done()
        gate.touch()
        assert camera.wait_until(configuring.done, TIME)
        assert configuring.result().success
        assert change(camera, ACTIVATE)
        assert camera.wait_until(lambda: camera.subscribers > 0, 10.0)
        # What was set meanwhile holds: of four frames, one a second, every other is taken.
        for i in range(4):
            camera.publish(make_image((1000 + i) * SECOND, i))
        status = camera.wait_status(lambda s: s.frames_received == 4 and not s.frames_waiting)
        assert (status.frames_ingested, status.frames_sampled_out) == (2, 2)
        # A signal while it loads for the second time.
        gate.unlink()
        assert change(camera, DEACTIVATE) and change(camera, CLEANUP)
        camera.start_call(ChangeState, 'change_state', request)
        camera.wait_status(lambda status: status.state == StreamStatus.LOADING)
        assert node.stop(signal.SIGINT) == 0
        assert 'Traceback' not in node.log()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_in_unconfigured_and_inactive(
    node: NodeProcess, camera: Camera, model_folder: pathlib.Path, number: int
) -> None:
    """SIGINT comes to the one, SIGTERM to the other."""
    if number == signal.SIGTERM:
        assert set_parameter(camera, 'model', str(model_folder)) == ''
        assert change(camera, CONFIGURE)
    assert node.stop(number) == 0
