# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent to a node: it answers with a sentence, loses nothing and stays up."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import signal
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from builtin_interfaces.msg import Time
import numpy as np
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.nodes.interfaces.gate import MAX_PENDING
from streamvlm_ros.srv import Ask

START = 1000 * SECOND
CAPACITY = 256


@pytest.fixture(scope='module')
def node(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """Run one node for all tests of this module; it must survive them and then end cleanly."""
    folder = tmp_path_factory.mktemp('node')
    settings: dict[str, Any] = {'sample_rate': 0.0, 'capacity': CAPACITY, 'request_timeout': 15.0}
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
    """Return the camera with the node's stream emptied."""
    assert shared_camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
    return shared_camera


def feed(camera: Camera, *images: Image) -> StreamStatus:
    """Publish images and wait until the node has dealt with them all."""
    for image in images:
        camera.publish(image)
    # All that were ever published: no test leaves one on its way.
    expected = camera.published
    return camera.wait_status(lambda s: s.frames_received == expected and not s.frames_waiting)


def feed_four(camera: Camera) -> StreamStatus:
    return feed(camera, *[make_image(START + i * SECOND // 2, i) for i in range(4)])


def test_question_before_any_frame(camera: Camera) -> None:
    response = camera.ask('What is there?')
    assert not response.success
    assert response.error_code == Ask.Response.NO_FRAMES
    assert response.error_msg == 'No frame has come in yet; check the camera topic, or wait.'
    response = camera.ask_choice('What is there?', ['a', 'b'])
    assert response.error_code == Ask.Response.NO_FRAMES


@pytest.mark.parametrize('question', ['', '  \n'])
def test_empty_question(camera: Camera, question: str) -> None:
    feed_four(camera)
    response = camera.ask(question)
    assert response.error_code == Ask.Response.INVALID_REQUEST
    assert 'question is empty' in response.error_msg
    assert response.error_msg.endswith('.')


@pytest.mark.parametrize(
    'choices', [[], ['yes'], [f'choice {i}' for i in range(27)], ['yes', 'no', 'yes']]
)
def test_bad_choices(camera: Camera, choices: list[str]) -> None:
    feed_four(camera)
    response = camera.ask_choice('Is it there?', choices)
    assert not response.success
    assert response.error_code == Ask.Response.INVALID_REQUEST
    assert 'hoice' in response.error_msg
    assert response.error_msg.endswith('.')


@pytest.mark.parametrize('timeout', [-1.0, float('nan'), float('inf')])
def test_bad_timeout(camera: Camera, timeout: float) -> None:
    request = Ask.Request(question='What?', timeout=timeout)
    response = camera.call(Ask, 'ask', request)
    assert response.error_code == Ask.Response.INVALID_REQUEST
    assert 'is not possible' in response.error_msg


@pytest.mark.parametrize(
    ('field', 'value', 'sentence'),
    [
        ('temperature', float('nan'), 'temperature is nan; give 1e-06 to 100'),
        ('top_p', 1.5, 'top_p is 1.5; give 0 to 1'),
        ('min_p', -0.5, 'min_p is -0.5; give 0 to 1'),
        ('repetition_penalty', float('inf'), 'repetition_penalty is inf; give 0.01 to 100'),
        ('generation', 'greedy', "generation is 'greedy'; give 'model', 'plain' or nothing"),
    ],
)
def test_bad_settings_of_an_answer(
    camera: Camera, field: str, value: object, sentence: str
) -> None:
    response = camera.call(Ask, 'ask', Ask.Request(question='What?', **{field: value}))
    assert response.error_code == Ask.Response.INVALID_REQUEST
    assert sentence in response.error_msg


def test_settings_of_an_answer(camera: Camera) -> None:
    """The request's go before the node's; a drawn answer is the same with the same seed."""
    feed_four(camera)

    def said(**fields: object) -> str:
        request = Ask.Request(question='What?', max_new_tokens=24, **fields)
        return str(camera.call(Ask, 'ask', request, 30.0).answer.text)

    usual = said()
    drawn = [said(sample=True, temperature=3.0, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert said(repetition_penalty=100.0) != usual == said(generation='plain') == said()


def test_after_that_never_comes_ends_with_timeout(camera: Camera) -> None:
    feed_four(camera)
    response = camera.ask('What?', timeout=0.3, after=Time(sec=2_000_000_000))
    assert response.error_code == Ask.Response.TIMEOUT
    assert '0.3 s' in response.error_msg


def test_after_waits_for_the_frame(camera: Camera) -> None:
    feed_four(camera)
    request = Ask.Request(question='What?', after=Time(sec=1005), max_new_tokens=2)
    waiting = camera.start_call(Ask, 'ask', request)
    camera.wait_status(lambda status: status.pending_requests == 1)
    assert not waiting.done()
    camera.publish(make_image(1006 * SECOND))
    assert camera.wait_until(waiting.done, 10.0)
    assert waiting.result().success
    assert waiting.result().answer.header.stamp == Time(sec=1006)
    assert waiting.result().answer.header.frame_id == 'camera'


def bad_images() -> list[tuple[str, Image, str]]:
    """Return messages that hold no picture, and what the status says about each."""
    unknown, empty, cut, nan = (make_image(START) for _ in range(4))
    unknown.encoding = 'rgb9'
    empty.width = empty.height = 0
    cut.data = cut.data[:100]
    nan.encoding, nan.step, nan.width = '32FC3', 12, 1
    nan.data = np.full(3 * nan.height, np.nan, np.float32).tobytes()
    return [
        ('unknown encoding', unknown, "The encoding 'rgb9' is unknown"),
        ('zero-sized', empty, 'The image is empty (0x0 pixels)'),
        ('truncated', cut, 'The image is truncated: 100 bytes came, 14112 are needed'),
        ('NaN', nan, 'The 32FC3 image has NaN or infinite values'),
        ('no stamp', make_image(0), 'The frame has no header stamp'),
    ]


@pytest.mark.parametrize(
    ('image', 'sentence'), [case[1:] for case in bad_images()], ids=[c[0] for c in bad_images()]
)
def test_bad_image(camera: Camera, image: Image, sentence: str) -> None:
    before = feed_four(camera)
    after = feed(camera, image)
    assert after.frames_failed == before.frames_failed + 1
    assert after.frames_ingested == before.frames_ingested
    assert after.last_error.startswith(sentence)
    assert after.cache_tokens == before.cache_tokens
    assert camera.ask('What is there?', max_new_tokens=2).answer.frames == 4


def test_size_changes_in_mid_stream(camera: Camera) -> None:
    before = feed_four(camera)
    small = [make_image(START + (4 + i) * SECOND // 2, i, width=56, height=84) for i in range(4)]
    after = feed(camera, *small)
    assert after.frames_ingested == before.frames_ingested + 4
    assert after.epoch == before.epoch
    assert after.cache_tokens > before.cache_tokens
    assert camera.ask('What is there?', max_new_tokens=2).answer.frames == 8


def test_equal_stamps(camera: Camera) -> None:
    before = feed_four(camera)
    newest = START + 3 * SECOND // 2
    after = feed(camera, make_image(newest, 7), make_image(newest, 8))
    assert after.epoch == before.epoch
    assert after.frames_failed == before.frames_failed
    assert camera.ask('What is there?', max_new_tokens=2).success


def test_stamps_that_go_backwards_begin_a_new_epoch(camera: Camera) -> None:
    before = feed_four(camera)
    after = feed(camera, make_image(START - SECOND), make_image(START - SECOND // 2))
    assert after.epoch == before.epoch + 1
    answer = camera.ask('What is there?', max_new_tokens=2).answer
    assert (answer.frames, answer.epoch) == (2, after.epoch)
    assert answer.oldest_stamp == Time(sec=999)


def test_full_cache_lets_the_oldest_frames_go(camera: Camera) -> None:
    first = feed_four(camera)
    more = [make_image(START + (4 + i) * SECOND // 2, i) for i in range(120)]
    # No more at once than may wait in the queue.
    full = [feed(camera, *more[start : start + 40]) for start in range(0, 120, 40)][-1]
    assert full.evicted_tokens > 100
    assert full.frames_dropped == first.frames_dropped
    assert first.cache_tokens < full.cache_tokens <= full.cache_capacity == CAPACITY
    answer = camera.ask('What is there?', max_new_tokens=2, timeout=20.0).answer
    assert answer.header.stamp == full.header.stamp
    assert answer.oldest_stamp == full.oldest_stamp
    assert full.oldest_stamp.sec > first.oldest_stamp.sec + 20
    assert 0 < answer.frames < 80


def test_reset_empties_the_stream(camera: Camera) -> None:
    before = feed_four(camera)
    assert before.cache_tokens > 0
    response = camera.call(Trigger, 'reset', Trigger.Request(), 10.0)
    assert response.success
    after = camera.wait_status(lambda status: status.epoch == before.epoch + 1)
    assert (after.state, after.cache_tokens) == (StreamStatus.WAITING_FOR_IMAGES, 0)
    assert camera.ask('What is there?').error_code == Ask.Response.NO_FRAMES


def test_too_many_questions(camera: Camera) -> None:
    feed_four(camera)
    request = Ask.Request(question='What?', after=Time(sec=2_000_000_000), timeout=3.0)
    calls = [camera.start_call(Ask, 'ask', request) for _ in range(MAX_PENDING + 2)]
    assert camera.wait_until(lambda: all(call.done() for call in calls), 15.0)
    codes = [call.result().error_code for call in calls]
    assert codes.count(Ask.Response.BUSY) == 2
    assert codes.count(Ask.Response.TIMEOUT) == MAX_PENDING
    busy = next(c.result() for c in calls if c.result().error_code == Ask.Response.BUSY)
    assert busy.error_msg == f'{MAX_PENDING} requests are waiting already; ask again later.'
