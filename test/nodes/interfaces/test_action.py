# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action: feedback while the answer is written, cancel, several goals, and one too many."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND
from support.nodes.raw_goals import Goal, Goals

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.msg import Answer
from streamvlm_ros.srv import Ask

LONG = 8000  # tokens: more than are written before a test ends the goal
TIME = 15.0
QUESTION = 'Tell me everything.'
Result = AnswerQuestion.Result


@pytest.fixture(scope='module')
def node(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp('node')
    settings: dict[str, Any] = {'sample_rate': 0.0, 'capacity': 8192, 'request_timeout': 600.0}
    with NodeProcess(folder, model=model_folder, **settings) as process:
        yield process
        assert process.stop(signal.SIGINT) == 0
        assert 'Traceback' not in process.log()


@pytest.fixture(scope='module')
def shared_camera(node: NodeProcess) -> Iterator[Camera]:
    with Camera(node) as camera:
        camera.wait_ready()
        yield camera


@pytest.fixture
def camera(shared_camera: Camera) -> Camera:
    """Return a camera whose node has seen four frames, and has no goal open."""
    assert shared_camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
    set_parameters(shared_camera, max_goals=8, goal_policy='queue')
    for i in range(4):
        shared_camera.publish(make_image((1000 + i) * SECOND, i))
    expected = shared_camera.published
    shared_camera.wait_status(lambda s: s.frames_ingested == expected and not s.pending_requests)
    return shared_camera


@pytest.fixture
def goals(camera: Camera) -> Iterator[Goals]:
    with Goals(camera) as goals:
        yield goals


def set_parameters(camera: Camera, **values: Any) -> None:
    parameters = [RosParameter(k, value=v).to_parameter_msg() for k, v in values.items()]
    request = SetParameters.Request(parameters=parameters)
    results = camera.call(SetParameters, 'set_parameters', request).results
    assert [result.reason for result in results] == [''] * len(values)


def send_long(camera: Camera, goals: Goals) -> Goal:
    """Send a goal that goes on, and wait until its answer is being written."""
    goal = goals.send(question=QUESTION, max_new_tokens=LONG)
    assert camera.wait_until(lambda: bool(goal.feedback), TIME)
    return goal


def wait_over(camera: Camera, *goals: Goal) -> None:
    assert camera.wait_until(lambda: all(goal.is_over for goal in goals), TIME)


def end(camera: Camera, *goals: Goal) -> None:
    for goal in goals:
        goal.cancel()
    wait_over(camera, *goals)


def test_feedback_and_result(camera: Camera, goals: Goals) -> None:
    answers: list[Answer] = []
    camera.node.create_subscription(Answer, '/streamvlm/answers', answers.append, 10)
    goal = goals.send(question=QUESTION, max_new_tokens=120)
    wait_over(camera, goal)
    assert goal.accepted and goal.status == GoalStatus.STATUS_SUCCEEDED
    assert goal.result.success and goal.result.error_code == Result.NONE
    answer = goal.result.answer
    assert (answer.completion_tokens, answer.finish_reason) == (120, Answer.LENGTH)
    assert (answer.frames, answer.header.frame_id) == (4, 'camera')
    assert [feedback.sequence for feedback in goal.feedback] == list(range(len(goal.feedback)))
    written = ''
    for feedback in goal.feedback:
        written += feedback.delta
        assert feedback.text == written
        assert answer.text.startswith(written)
    tokens = [feedback.tokens for feedback in goal.feedback]
    assert tokens == sorted(set(tokens)) and tokens[0] == 1
    # The same question by the service: the same words.
    assert camera.ask(QUESTION, max_new_tokens=120).answer.text == answer.text
    assert camera.wait_until(lambda: len(answers) == 2, TIME)
    assert answers[0] == answer


def test_feedback_comes_about_ten_times_a_second(camera: Camera, goals: Goals) -> None:
    """No oftener, or a slow subscriber loses some; the rate below depends on the machine."""
    arrived: list[float] = []
    goal = goals.send(
        lambda _: arrived.append(time.monotonic()), question=QUESTION, max_new_tokens=LONG
    )
    assert camera.wait_until(lambda: len(goal.feedback) >= 6, TIME)
    end(camera, goal)
    assert arrived[5] - arrived[0] > 0.4
    # Between two messages a tenth of a second of tokens was written, not one.
    assert goal.feedback[5].tokens > 6


def test_choices(camera: Camera, goals: Goals) -> None:
    goal = goals.send(question='Which?', choices=['red', 'green'])
    wait_over(camera, goal)
    asked = camera.ask_choice('Which?', ['red', 'green']).answer
    assert goal.result.answer.choice_index == asked.choice_index
    assert list(goal.result.answer.choice_probabilities) == list(asked.choice_probabilities)
    assert goal.result.answer.text == asked.text


def test_cancel_while_writing(camera: Camera, goals: Goals) -> None:
    goal = send_long(camera, goals)
    goal.cancel()
    wait_over(camera, goal)
    assert goal.status == GoalStatus.STATUS_CANCELED
    assert goal.result.success and goal.result.error_code == Result.NONE
    answer = goal.result.answer
    assert answer.finish_reason == Answer.CANCELED
    assert 0 < answer.completion_tokens < LONG
    assert answer.text == goal.feedback[-1].text != ''
    assert answer.header.stamp == Time(sec=1003)
    # What was written is as far as it goes the whole answer; and the next goal works.
    after = goals.send(question=QUESTION, max_new_tokens=answer.completion_tokens)
    wait_over(camera, after)
    assert after.status == GoalStatus.STATUS_SUCCEEDED
    assert after.result.answer.text.startswith(answer.text)
    camera.wait_status(lambda status: not status.pending_requests)


def test_streamed_to_a_terminal(camera: Camera) -> None:
    """The CLI prints as it comes, and Ctrl-C ends the goal."""
    command = [sys.executable, '-m', 'streamvlm_ros.cli.main', 'ask', '--stream', QUESTION]
    done = subprocess.run([*command, '--max-new-tokens', '40'], capture_output=True, timeout=60)
    answer = camera.ask(QUESTION, max_new_tokens=40).answer
    assert done.returncode == 0
    assert done.stdout.decode() == answer.text + '\n'
    long = [*command, '--max-new-tokens', str(LONG)]
    with subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout is not None and client.stdout.read(1)
        client.send_signal(signal.SIGINT)
        told = client.communicate(timeout=30)[1]
        assert b'(4 frames seen' in told, told
    assert client.returncode == 0
    camera.wait_status(lambda status: not status.pending_requests)


def test_cancel_before_the_frame_has_come(camera: Camera, goals: Goals) -> None:
    goal = goals.send(question=QUESTION, after=Time(sec=2_000_000_000))
    camera.wait_status(lambda status: status.pending_requests == 1)
    end(camera, goal)
    assert goal.status == GoalStatus.STATUS_CANCELED
    assert goal.result.answer.finish_reason == Answer.CANCELED
    assert (goal.result.answer.question, goal.result.answer.text) == (QUESTION, '')


@pytest.mark.parametrize(
    ('fields', 'code', 'sentence'),
    [
        ({'question': ' '}, Result.INVALID_REQUEST, 'The question is empty; ask something.'),
        ({'question': 'a', 'choices': ['b']}, Result.INVALID_REQUEST, 'hoice'),
        ({'question': 'a', 'timeout': -1.0}, Result.INVALID_REQUEST, 'is not possible'),
        (
            {'question': 'a', 'timeout': 0.2, 'after': Time(sec=2_000_000_000)},
            Result.TIMEOUT,
            'No answer within 0.2 s',
        ),
    ],
)
def test_aborted_with_a_reason(
    camera: Camera, goals: Goals, fields: dict[str, Any], code: int, sentence: str
) -> None:
    goal = goals.send(**fields)
    wait_over(camera, goal)
    assert goal.accepted and goal.status == GoalStatus.STATUS_ABORTED
    assert not goal.result.success and goal.result.error_code == code
    assert sentence in goal.result.error_msg


def test_timeout_while_writing_hands_over_what_was_written(camera: Camera, goals: Goals) -> None:
    goal = goals.send(question=QUESTION, max_new_tokens=LONG, timeout=1.0)
    wait_over(camera, goal)
    assert goal.status == GoalStatus.STATUS_ABORTED
    assert goal.result.error_code == Result.TIMEOUT
    assert goal.result.answer.text == goal.feedback[-1].text != ''
    assert goal.result.answer.finish_reason == Answer.CANCELED


def test_reset_while_writing(camera: Camera, goals: Goals) -> None:
    goal = send_long(camera, goals)
    assert camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
    wait_over(camera, goal)
    assert goal.status == GoalStatus.STATUS_ABORTED
    assert goal.result.error_code == Result.RESET_DURING_ANSWER


def test_several_at_once(camera: Camera, goals: Goals) -> None:
    """They are written side by side, each as it would be alone."""
    long = send_long(camera, goals)
    short = [goals.send(question=f'What about {i}?', max_new_tokens=20) for i in range(4)]
    wait_over(camera, *short)
    assert not long.is_over
    end(camera, long)
    for i, goal in enumerate(short):
        alone = camera.ask(f'What about {i}?', max_new_tokens=20).answer
        assert goal.result.answer.text == alone.text


def test_policy_queue(camera: Camera, goals: Goals) -> None:
    set_parameters(camera, max_goals=1)
    first = send_long(camera, goals)
    second = goals.send(question='And then?', max_new_tokens=3)
    camera.wait_status(lambda status: status.pending_requests == 2)
    # A service call is not held up by goals, and is answered behind the second's turn.
    assert camera.ask('And this?', max_new_tokens=3).success
    assert second.accepted and not second.is_over and not second.feedback
    end(camera, first)
    wait_over(camera, second)
    assert second.status == GoalStatus.STATUS_SUCCEEDED


def test_policy_reject(camera: Camera, goals: Goals, node: NodeProcess) -> None:
    set_parameters(camera, max_goals=1, goal_policy='reject')
    first = send_long(camera, goals)
    second = goals.send(question='And then?')
    wait_over(camera, second)
    assert second.accepted is False
    assert 'A goal was refused: max_goals (1) are open, goal_policy is reject.' in node.log()
    end(camera, first)
    third = goals.send(question='And now?', max_new_tokens=2)
    wait_over(camera, third)
    assert third.status == GoalStatus.STATUS_SUCCEEDED


def test_policy_preempt(camera: Camera, goals: Goals) -> None:
    set_parameters(camera, max_goals=2, goal_policy='preempt')
    oldest, other = send_long(camera, goals), send_long(camera, goals)
    newest = goals.send(question='And then?', max_new_tokens=3)
    wait_over(camera, oldest, newest)
    assert newest.status == GoalStatus.STATUS_SUCCEEDED
    assert oldest.status == GoalStatus.STATUS_ABORTED
    assert oldest.result.error_code == Result.BUSY
    assert oldest.result.error_msg.startswith('A newer goal has taken the place of this one')
    assert oldest.result.answer.text != ''
    assert not other.is_over
    end(camera, other)


def test_queue_full(camera: Camera, goals: Goals) -> None:
    waiting = [goals.send(question=QUESTION, after=Time(sec=2_000_000_000)) for _ in range(32)]
    camera.wait_status(lambda status: status.pending_requests == 32)
    refused = goals.send(question=QUESTION)
    wait_over(camera, refused)
    assert refused.accepted is False
    assert camera.ask(QUESTION).error_code == Ask.Response.BUSY
    end(camera, *waiting)
    assert all(goal.status == GoalStatus.STATUS_CANCELED for goal in waiting)


def test_client_that_dies(camera: Camera, goals: Goals) -> None:
    """Its goal ends by its time-out, with the code for that, and nobody else notices."""
    goal = f'{{question: x, max_new_tokens: {LONG}, timeout: 1.5}}'
    code = (
        'import sys, yaml\n'
        'from support.nodes.raw_client import Client\n'
        'from support.nodes.raw_goals import Goals\n'
        'with Client() as client, Goals(client) as goals:\n'
        f'    goal = goals.send(**yaml.safe_load({goal!r}))\n'
        '    client.wait_until(lambda: bool(goal.feedback and goal._handle), 30.0)\n'
        '    print(bytes(goal._handle.goal_id.uuid).hex(), flush=True)\n'
        '    client.wait_until(lambda: False, 60.0)\n'
    )
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        identity = bytes.fromhex(client.stdout.readline().decode())
        client.kill()
    assert camera.ask('And this?', max_new_tokens=2).success
    own = goals.send(question='And this?', max_new_tokens=2)
    wait_over(camera, own)
    assert own.status == GoalStatus.STATUS_SUCCEEDED
    camera.wait_status(lambda status: not status.pending_requests)
    # Whoever knows a goal can ask for its result.
    kind = AnswerQuestion.Impl.GetResultService
    request = kind.Request()
    request.goal_id.uuid = list(identity)
    orphan = camera.call(kind, 'answer/_action/get_result', request, TIME)
    assert orphan.status == GoalStatus.STATUS_ABORTED
    assert orphan.result.error_code == Result.TIMEOUT
    assert orphan.result.answer.text != ''
