# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions that choose what they look at, of a node that keeps few pictures; over real DDS.

By services and action, by the client, and on the command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
import json
import pathlib
import signal
import threading
from typing import Any

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
import cv2
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import Trigger
from support.nodes.node_process import Camera, image_of, NodeProcess, SECOND
from support.nodes.raw_goals import Goal, Goals

from streamvlm_ros.cli import main
from streamvlm_ros.client import Answer, AsyncStreamClient, InvalidRequestError, StreamClient
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.srv import AddWatch, Ask, AskChoice, ListWatches
from streamvlm_ros.stamps import to_nanoseconds

HEIGHT, WIDTH = 56, 84
KEPT = 10  # pictures
FRAMES = 16  # that a test begins with
TIME = 30.0
QUESTION, CHOICES = 'What is there?', ['left', 'right']


@pytest.fixture(scope='module')
def shared_camera(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Camera]:
    settings = {
        'model': model_folder,
        'sample_rate': 0.0,
        'capacity': 4096,
        'now_frames': 4,
        'view_frames': 6,
        'open_views': 2,
        'view_ring_bytes': KEPT * HEIGHT * WIDTH * 3,
    }
    folder = tmp_path_factory.mktemp('node')
    with NodeProcess(folder, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        yield camera
        assert node.stop(signal.SIGINT) == 0
        assert 'Traceback' not in node.log()


@pytest.fixture
def camera(shared_camera: Camera) -> Camera:
    """Return a camera whose node has seen FRAMES frames, from 1000 s on, one a second."""
    assert shared_camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
    before = shared_camera.published
    for i in range(FRAMES):
        shared_camera.publish(image_of(frame(i), (1000 + i) * SECOND))
    shared_camera.wait_status(lambda s: s.frames_ingested >= before + FRAMES)
    return shared_camera


def frame(i: int) -> np.ndarray:
    """Return a smooth picture, which JPEG keeps nearly as it is."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([2 * x + 3 * i, 3 * y, np.full_like(x, 10 * i)], axis=2).astype(np.uint8)


def ask(camera: Camera, **fields: Any) -> Ask.Response:
    return camera.ask(QUESTION, max_new_tokens=4, timeout=TIME, **fields)


def wait_over(camera: Camera, *goals: Goal) -> None:
    assert camera.wait_until(lambda: all(goal.is_over for goal in goals), TIME)


def seconds(stamps: list[Time]) -> list[float]:
    return [to_nanoseconds(stamp) / SECOND for stamp in stamps]


LOOKS = [
    ({}, FRAMES, []),
    ({'view': 'memory'}, FRAMES, []),
    ({'view': 'now'}, 4, [1012, 1013, 1014, 1015]),
    ({'view': 'memory_and_now'}, FRAMES, [1012, 1013, 1014, 1015]),
    ({'since': Time(sec=1008), 'until': Time(sec=1011)}, 4, [1008, 1009, 1010, 1011]),
    ({'view': 'span', 'since': Time(sec=1012)}, 4, [1012, 1013, 1014, 1015]),
    # Ten are kept; three pairs of them are shown.
    ({'view': 'span'}, 6, [1006, 1007, 1010, 1011, 1014, 1015]),
]


def test_an_answer_names_what_it_rests_on(camera: Camera) -> None:
    for fields, frames, stamps in LOOKS:
        response = ask(camera, **fields)
        assert response.success, (fields, response.error_msg)
        seen = response.answer.evidence
        assert seen.view == (fields.get('view') or ('span' if fields else 'memory'))
        assert (seen.exact, seen.frames, seconds(seen.stamps)) == (True, frames, stamps), fields
        first = stamps[0] if stamps and 'memory' not in seen.view else 1000
        assert seconds([seen.first_stamp, seen.last_stamp]) == [
            first,
            1011 if first == 1008 else 1015,
        ]
        assert seen.height >= 28 and seen.width >= 28
        request = AskChoice.Request(question=QUESTION, choices=CHOICES, **fields)
        choice = camera.call(AskChoice, 'ask_choice', request, TIME)
        assert choice.success and choice.answer.evidence == seen, fields


REFUSED = [
    ({'view': 'then'}, "The view is 'then'; choose one of memory, now, memory_and_now, span."),
    ({'view': 'now', 'since': Time(sec=1005)}, 'only a span has a beginning and an end'),
    ({'since': Time(sec=1012), 'until': Time(sec=1009)}, 'before it begins'),
    ({'since': Time(sec=1000), 'until': Time(sec=1003)}, 'frames are kept from 1006.000 s'),
    ({'since': Time(sec=1003)}, 'frames are kept from 1006.000 s'),
    ({'until': Time(sec=1003)}, 'frames are kept from 1006.000 s'),
    ({'since': Time(sec=2000)}, 'to 1015.000 s'),  # nothing is so new
    ({'view': 'now', 'update_state': True}, 'update_state'),
    ({'return_frames': True}, 'memory'),
]


def test_what_cannot_be_looked_at_is_refused(camera: Camera) -> None:
    with Goals(camera) as goals:
        for fields, sentence in REFUSED:
            response = ask(camera, **fields)
            assert response.error_code == Ask.Response.INVALID_REQUEST, (fields, response)
            assert sentence in response.error_msg and response.error_msg.endswith('.')
            goal = goals.send(question=QUESTION, max_new_tokens=4, **fields)
            wait_over(camera, goal)
            assert goal.result.error_msg == response.error_msg
    assert ask(camera).success


@pytest.mark.parametrize('view', ['now', 'memory_and_now', 'span'])
def test_the_frames_come_with_the_answer(camera: Camera, view: str) -> None:
    with Goals(camera) as goals:
        goal = goals.send(question=QUESTION, max_new_tokens=4, view=view, return_frames=True)
        wait_over(camera, goal)
    asked = ask(camera, view=view, return_frames=True)
    for told in (goal.result, asked):
        assert told.success, told.error_msg
        seen = told.answer.evidence
        assert [picture.header.stamp for picture in told.frames] == seen.stamps
        for picture in told.frames:
            assert (picture.header.frame_id, picture.format) == ('camera', 'jpeg')
            pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
            assert pixels.shape == (seen.height, seen.width, 3)
            shown = cv2.resize(frame(picture.header.stamp.sec - 1000), (seen.width, seen.height))
            apart = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(int) - shown
            assert np.abs(apart).mean() < 4.0
    assert not ask(camera, view=view).frames


def test_frames_come_in_while_views_are_read(camera: Camera) -> None:
    """At 30 Hz: none is dropped, and every answer is about four neighbours, ever newer ones."""
    status = camera.status
    assert status is not None
    dropped, ingested = status.frames_dropped, status.frames_ingested
    stop = threading.Event()
    shown = 0

    def film() -> None:
        nonlocal shown
        while not stop.wait(1 / 30):
            camera.publish(image_of(frame(shown % 20), 1016 * SECOND + shown * SECOND // 30))
            shown += 1

    filming = threading.Thread(target=film)
    filming.start()
    try:
        answers = [
            ask(camera, view=view, after=Time(sec=1016, nanosec=(1 + i) * SECOND // 10))
            for i, view in enumerate(('now', 'span', 'memory_and_now') * 3)
        ]
    finally:
        stop.set()
        filming.join()
    for response in answers:
        assert response.success, response.error_msg
    newest = [seconds(response.answer.evidence.stamps) for response in answers]
    for stamps in newest[::3] + newest[2::3]:
        assert np.diff(stamps)[-2:] == pytest.approx(1 / 30, abs=1e-6)
    assert newest[0][-1] < newest[-1][-1]
    camera.wait_status(lambda s: s.frames_ingested == ingested + shown)
    assert camera.status is not None and camera.status.frames_dropped == dropped


def test_a_view_that_is_canceled_leaves_its_room(camera: Camera) -> None:
    """Canceled at any moment, of the prefill too; more of them than there is room for."""
    with Goals(camera) as goals:
        sent = [goals.send(question=QUESTION, max_new_tokens=2000, view='now') for _ in range(8)]
        for i, goal in enumerate(sent):
            assert camera.wait_until(lambda goal=goal: goal.accepted is not None, TIME)
            if i % 2:
                camera.wait_until(lambda goal=goal: bool(goal.feedback), 0.05)
            goal.cancel()
        wait_over(camera, *sent)
        assert {goal.status for goal in sent} == {GoalStatus.STATUS_CANCELED}
    camera.wait_status(lambda s: not s.pending_requests)
    for _ in range(3):
        assert ask(camera, view='now').success


def test_a_watch_on_now(camera: Camera) -> None:
    events = camera.events()
    eager = {'threshold': 1e-6, 'hold': 1}
    cheap = camera.add_watch(QUESTION, CHOICES, name='memory', **eager)
    dear = camera.add_watch(QUESTION, CHOICES, name='now', view='now', **eager)
    assert cheap.success and dear.success, dear.error_msg
    assert dear.tokens > cheap.tokens
    assert dear.total_tokens == dear.tokens + cheap.tokens
    wrong = camera.add_watch(QUESTION, CHOICES, view='then')
    assert wrong.error_code == AddWatch.Response.INVALID_REQUEST
    assert camera.wait_until(lambda: camera.subscribers > 0, TIME)
    for i in range(4):
        camera.publish(image_of(frame(i), (1016 + i) * SECOND))
    assert camera.wait_until(lambda: {event.name for event in events} == {'memory', 'now'}, TIME)
    asked = camera.call(
        AskChoice,
        'ask_choice',
        AskChoice.Request(question=QUESTION, choices=CHOICES, view='now'),
        TIME,
    )
    event = next(event for event in events if event.name == 'now')
    assert list(event.probabilities) == pytest.approx(
        list(asked.answer.choice_probabilities), abs=1e-5
    )
    listed = camera.call(ListWatches, 'list_watches', ListWatches.Request()).watches
    assert [(watch.name, watch.view, watch.tokens) for watch in listed] == [
        ('memory', 'memory', cheap.tokens),
        ('now', 'now', dear.tokens),
    ]
    for name in ('memory', 'now'):
        assert camera.remove_watch(name).success


def test_the_nodes_view_counts_where_a_question_names_none(camera: Camera) -> None:
    def set_view(name: str) -> str:
        parameters = [RosParameter('view', value=name).to_parameter_msg()]
        request = SetParameters.Request(parameters=parameters)
        return str(camera.call(SetParameters, 'set_parameters', request).results[0].reason)

    assert "'view' must be one of memory, now" in set_view('then')
    assert set_view('now') == ''
    assert ask(camera).answer.evidence.view == 'now'
    assert ask(camera, view='memory').answer.evidence.view == 'memory'
    assert set_view('memory') == ''
    assert camera.status is not None and camera.status.state == StreamStatus.STREAMING


def test_the_client_has_evidence_and_pictures(camera: Camera) -> None:
    async def ask_later() -> tuple[Answer, Answer]:
        async with AsyncStreamClient() as robot:
            asked = dict(view='now', return_frames=True, max_new_tokens=4)
            stream = robot.stream_answer(QUESTION, **asked)
            return await robot.ask(QUESTION, **asked), await stream.result()

    with StreamClient() as robot:
        answer = robot.ask(QUESTION, max_new_tokens=4, view='now', return_frames=True)
        span = robot.ask_choice(QUESTION, CHOICES, since=1008 * SECOND, until=Time(sec=1009))
        with robot.watch(QUESTION, CHOICES, name='sharp', view='now', hold=1):
            (watch,) = robot.watches()
        with pytest.raises(InvalidRequestError, match='frames are kept from 1006'):
            robot.ask(QUESTION, since=1)
    seen = answer.evidence
    assert (seen.view, seen.exact, seen.frames) == ('now', True, 4)
    assert seen.stamps_ns == tuple(stamp * SECOND for stamp in (1012, 1013, 1014, 1015))
    assert (seen.first_stamp_ns, seen.last_stamp_ns) == (seen.stamps_ns[0], seen.stamps_ns[-1])
    for later in (*asyncio.run(ask_later()), answer):
        assert (later.text, later.evidence) == (answer.text, seen)
        assert [picture.stamp_ns for picture in later.pictures] == list(seen.stamps_ns)
        for picture in later.pictures:
            pixels = picture.decode()
            assert pixels.shape == (seen.height, seen.width, 3)
            i = picture.stamp_ns // SECOND - 1000
            assert abs(pixels[..., 2].mean() - 10 * i) < 2  # blue: RGB it is
    assert span.choice in CHOICES and span.evidence.stamps_ns == (1008 * SECOND, 1009 * SECOND)
    assert not span.pictures
    assert (watch.name, watch.view, watch.view_until_ns) == ('sharp', 'now', 0)
    assert watch.tokens > 0


def test_the_command_line_shows_the_frames(
    camera: Camera, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / 'new' / 'sheet.png'
    asked = ['ask', QUESTION, '--max-new-tokens', '4']
    assert main.main([*asked, '--view', 'now', '--show', str(sheet)]) == 0
    told = capsys.readouterr().err
    assert '(now: 4 frames from 1012.000 to 1015.000 s, ' in told and ' exact)' in told
    pixels = cv2.imread(str(sheet))
    for i in (12, 13, 14, 15):  # the blue of each frame
        assert (abs(pixels[..., 0].astype(int) - 10 * i) <= 2).mean() > 0.005, i
    sheet.unlink()
    line = ['choose', QUESTION, *CHOICES, '--since', '5s', '--until', '1013', '--json']
    assert main.main([*line, '--show', str(sheet)]) == 0
    evidence = json.loads(capsys.readouterr().out)['evidence']
    assert (evidence['view'], evidence['stamps']) == ('span', [1010, 1011, 1012, 1013])
    assert sheet.read_bytes().startswith(b'\x89PNG')
    assert main.main([*asked, '--show', str(sheet)]) == 1
    assert 'memory' in capsys.readouterr().err
    assert main.main([*asked, '--view', 'now', '--show', str(sheet / 'below.png')]) == 1
    assert 'cannot be written' in capsys.readouterr().err
