# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client as a library: blocking, asyncio, inside a user's node; against a real node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from builtin_interfaces.msg import Time
import rclpy
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from support.nodes.node_process import Camera, NodeProcess, SECOND
from support.nodes.scene import Scene, threads, TIME, wait_until

from streamvlm_ros.client import (
    AnswerTimeoutError,
    AsyncStreamClient,
    BusyError,
    InvalidRequestError,
    NoReplyError,
    NotActiveError,
    StreamClient,
    StreamError,
    WatchEvent,
)

LONG = 8000  # tokens; far more than any test waits for
QUESTION, CHOICES = 'What is there?', ['left', 'right']
EAGER: dict[str, Any] = {'threshold': 1e-6, 'hold': 1}  # an answer holds after every chunk


@pytest.fixture(scope='module')
def scene(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp('node')
    parameters: dict[str, Any] = {'model': model_folder, 'save_folder': folder, 'max_goals': 8}
    with NodeProcess(folder, **parameters) as node, Camera(node) as camera:
        camera.wait_ready()
        scene = Scene(node, camera)
        scene.show(4)
        yield scene
        assert 'Traceback' not in node.log()


@pytest.fixture
def robot(scene: Scene) -> Iterator[StreamClient]:
    with StreamClient('/streamvlm') as robot:
        yield robot
        scene.camera.wait_status(lambda status: not status.pending_requests)
        assert not robot.watches()
    assert not threads()


def test_ask(robot: StreamClient, scene: Scene) -> None:
    newest = 999 + scene.camera.published
    answer = robot.ask(QUESTION, after=newest * SECOND, max_new_tokens=3, timeout=TIME)
    assert (answer.question, answer.completion_tokens) == (QUESTION, 3)
    assert (answer.stamp_ns, answer.oldest_stamp_ns) == (newest * SECOND, 1000 * SECOND)
    assert (answer.frames, answer.frame_id) == (scene.camera.published, 'camera')
    assert answer.finish_reason in ('stop', 'length') and answer.text
    assert (answer.choice, answer.choice_index, answer.probabilities) == ('', -1, {})
    same = robot.ask(QUESTION, after=Time(sec=newest), max_new_tokens=3)
    assert same.text == answer.text


def test_ask_choice(robot: StreamClient) -> None:
    answer = robot.ask_choice('Which?', CHOICES)
    assert answer.choice == answer.text == CHOICES[answer.choice_index]
    assert list(answer.probabilities) == CHOICES
    assert sum(answer.choice_probabilities) == pytest.approx(1.0, abs=1e-5)
    assert answer.probabilities[answer.choice] == max(answer.choice_probabilities)


def test_the_nodes_refusals_have_their_classes(robot: StreamClient) -> None:
    with pytest.raises(InvalidRequestError, match='choices'):
        robot.ask_choice('Which?', ['left'])
    with pytest.raises(InvalidRequestError):
        robot.watch('Which?', ['left'])
    with pytest.raises(InvalidRequestError), robot.stream_answer('') as stream:
        next(stream)
    with pytest.raises(StreamError) as refused:
        robot.load('nothing_here')
    assert type(refused.value) is not StreamError
    with pytest.raises(AnswerTimeoutError):
        robot.ask(QUESTION, after=Time(sec=2_000_000_000), timeout=0.3)


def test_an_answer_is_streamed(robot: StreamClient) -> None:
    whole = robot.ask(QUESTION, max_new_tokens=40)
    stream = robot.stream_answer(QUESTION, max_new_tokens=40)
    assert ''.join(stream) == whole.text
    assert stream.answer is not None and stream.answer.completion_tokens == 40
    assert stream.result().text == whole.text
    assert robot.stream_answer('Which?', CHOICES).result().choice in CHOICES


def test_an_answer_is_drawn_as_it_is_asked_for(robot: StreamClient) -> None:
    hot: dict[str, Any] = dict(sample=True, temperature=50.0, max_new_tokens=12)
    drawn = [robot.ask(QUESTION, seed=seed, **hot).text for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert robot.stream_answer(QUESTION, seed=7, **hot).result().text == drawn[0]


def test_a_stream_that_is_closed_early_is_canceled(robot: StreamClient, scene: Scene) -> None:
    with robot.stream_answer(QUESTION, max_new_tokens=LONG) as stream:
        assert next(stream)
    assert stream.answer is not None and stream.answer.finish_reason == 'canceled'
    assert next(robot.stream_answer(QUESTION, max_new_tokens=LONG))  # nothing refers to it now
    scene.camera.wait_status(lambda status: not status.pending_requests)


def test_too_many_goals_are_busy(robot: StreamClient, scene: Scene) -> None:
    late = 10**9 * SECOND  # no such frame comes: 32 answers that are written keep a machine busy
    streams = [robot.stream_answer(QUESTION, after=late, timeout=1e3) for _ in range(32)]
    scene.camera.wait_status(lambda status: status.pending_requests == 32)
    with pytest.raises(BusyError, match='refused the goal'):
        next(robot.stream_answer(QUESTION, after=late))
    for stream in streams:
        stream.close()


def test_a_watch_has_its_own_events(robot: StreamClient, scene: Scene) -> None:
    with (
        robot.watch('Which?', CHOICES, name='own', **EAGER) as own,
        robot.watch('Which one?', ['up', 'down'], **EAGER) as other,
    ):
        assert {each.name for each in robot.watches()} == {'own', other.name}
        with pytest.raises(InvalidRequestError):
            robot.watch('Which?', CHOICES, name='own')
        scene.show(4)
        event, second = own.get(TIME), other.get(TIME)
        assert event is not None and second is not None
        assert (event.name, event.previous, second.name) == ('own', '', other.name)
        assert event.choice == CHOICES[event.choice_index]
        assert event.probability == event.probabilities[event.choice_index]
        assert event.since_ns == event.stamp_ns >= 1000 * SECOND
        assert own.get(0.0) is None
    assert not robot.watches()
    assert next(own, None) is None
    own.close()  # again


def test_a_watch_that_is_forgotten_is_removed(robot: StreamClient) -> None:
    robot.watch('Which?', CHOICES)  # nothing refers to it
    wait_until(lambda: not robot.watches())
    with robot.watch('Which?', CHOICES, name='kept', keep=True):
        pass
    assert [each.name for each in robot.watches()] == ['kept']
    with StreamClient('/streamvlm') as other:
        left = other.watch('Which?', CHOICES, name='left')
    assert next(left, None) is None
    assert [each.name for each in robot.watches()] == ['kept']
    with Camera() as camera:  # as another client would
        assert camera.remove_watch('kept').success


def test_a_callback_in_the_clients_thread_must_not_wait(robot: StreamClient, scene: Scene) -> None:
    told: list[BaseException] = []

    def act(event: WatchEvent) -> None:
        try:
            robot.ask(QUESTION)
        except RuntimeError as error:
            told.append(error)

    with robot.watch('Which?', CHOICES, on_event=act, **EAGER):
        scene.show(4)
        wait_until(lambda: told)
    assert 'which cannot wait for itself' in str(told[0])


def test_status_and_what_changes_it(robot: StreamClient, scene: Scene) -> None:
    status = robot.status()
    assert status.state in ('streaming', 'answering') and status.is_ready
    assert status.frames_ingested == scene.camera.published
    robot.pause()
    assert robot.wait_for_status(lambda s: s.state == 'paused', timeout=TIME).state == 'paused'
    robot.resume()
    saved = robot.save('kitchen')
    assert pathlib.Path(saved.path).is_file() and saved.bytes and saved.tokens
    epoch = robot.ask(QUESTION, max_new_tokens=1).epoch
    robot.reset()
    with pytest.raises(StreamError) as refused:
        robot.ask(QUESTION)
    assert type(refused.value).__name__ == 'NoFramesError'
    loaded = robot.load('kitchen')
    assert (loaded.path, loaded.frames) == (saved.path, saved.frames)
    assert robot.ask(QUESTION, max_new_tokens=1).epoch > epoch
    with pytest.raises(NoReplyError, match='is streaming, and has not come to'):
        robot.wait_for_status(lambda s: s.epoch > 100, timeout=0.2)
    with pytest.raises(ZeroDivisionError):
        robot.wait_for_status(lambda s: 1 // 0, timeout=TIME)


def test_many_threads_at_once(robot: StreamClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: robot.ask_choice('Which?', CHOICES).text, range(16)))
    assert len(set(answers)) == 1
    assert len(threads()) == 1


def test_asyncio(scene: Scene) -> None:
    async def program() -> None:
        async with AsyncStreamClient('/streamvlm') as robot:
            assert (await robot.wait_until_ready(timeout=TIME)).is_ready
            both = await asyncio.gather(
                robot.ask(QUESTION, max_new_tokens=5), robot.ask_choice('Which?', CHOICES)
            )
            stream = robot.stream_answer(QUESTION, max_new_tokens=5)
            assert ''.join([delta async for delta in stream]) == both[0].text
            assert stream.answer is not None and stream.answer.text == both[0].text
            async for delta in robot.stream_answer(QUESTION, max_new_tokens=LONG):
                assert delta
                break
            await robot.wait_for_status(lambda status: not status.pending_requests, timeout=TIME)
            async with robot.watch('Which?', CHOICES, **EAGER) as watch:
                await asyncio.to_thread(scene.show, 4)
                event = await asyncio.wait_for(anext(watch), TIME)
                assert event.name == watch.name
                assert len(await robot.watches()) == 1
            assert not await robot.watches()
            with pytest.raises(InvalidRequestError):
                async with robot.watch('Which?', ['left']):
                    pass
            with pytest.raises(asyncio.TimeoutError):
                late = robot.ask(QUESTION, after=Time(sec=2_000_000_000), timeout=1.0)
                await asyncio.wait_for(late, 0.1)

    asyncio.run(program())
    assert not threads()


@pytest.mark.parametrize('kind', [SingleThreadedExecutor, MultiThreadedExecutor])
def test_inside_a_users_node(scene: Scene, kind: type) -> None:
    """A callback may ask, and callbacks of a watch come in the node's own executor."""
    context = Context()
    rclpy.init(context=context, domain_id=None)
    node = rclpy.create_node('driver', context=context, namespace='/robot')
    executor = kind(context=context)
    executor.add_node(node)
    robot = StreamClient('/streamvlm', node=node)
    answers: list[str] = []
    events: list[tuple[str, str]] = []

    def act() -> None:
        timer.cancel()
        answers.append(robot.ask_choice('Which?', CHOICES).text)

    def take(event: WatchEvent) -> None:
        events.append((threading.current_thread().name, robot.ask_choice('Which?', CHOICES).text))

    timer = node.create_timer(0.05, act)
    spinning = threading.Thread(target=executor.spin, name='user')
    spinning.start()
    try:
        wait_until(lambda: answers)
        with robot.watch('Which?', CHOICES, on_event=take, **EAGER):
            scene.show(4)
            wait_until(lambda: events)
        assert answers[0] == events[0][1]
        assert events[0][0] != 'streamvlm_client'
    finally:
        robot.close()
        assert context.ok()  # the user's
        executor.shutdown()
        rclpy.shutdown(context=context)
        spinning.join(TIME)
    assert not threads()


def test_the_users_shutdown_ends_what_waits(scene: Scene) -> None:
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('driver', context=context)
    robot = StreamClient('/streamvlm', node=node)
    robot.wait_until_ready(timeout=TIME)
    threading.Timer(0.3, rclpy.shutdown, kwargs={'context': context}).start()
    with pytest.raises(NotActiveError, match='its ROS context was shut down'):
        robot.ask(QUESTION, after=Time(sec=2_000_000_000), timeout=5.0)
    robot.close()
    assert not threads()


PROGRAM = """
import sys
from streamvlm_ros.client import StreamClient
robot = StreamClient('/streamvlm')
print(robot.ask('What?', max_new_tokens=2).question, flush=True)
{then}
"""


@pytest.mark.parametrize(
    'then, code',
    [
        ('pass', 0),  # left open
        ('with robot: robot.ask("What?", after={next}, timeout=1000.0)', -signal.SIGINT),
        ('stream = robot.stream_answer("What?", max_new_tokens=8000); next(stream)', 0),
    ],
    ids=['left open', 'interrupted', 'with an open answer'],
)
def test_a_program_ends(scene: Scene, then: str, code: int) -> None:
    then = then.format(next=(1000 + scene.camera.published) * SECOND)
    with subprocess.Popen(
        [sys.executable, '-c', PROGRAM.format(then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None and program.stdout.readline() == 'What?\n'
        if code:
            scene.camera.wait_status(lambda status: status.pending_requests == 1)
            program.send_signal(signal.SIGINT)
        told = program.communicate(timeout=TIME)[1]
    assert program.returncode == code, told
    assert ('KeyboardInterrupt' in told) == bool(code) and 'terminate' not in told
    scene.show(4)  # ends the request to the service, which a client cannot cancel
    scene.camera.wait_status(lambda status: not status.pending_requests)


def test_a_node_that_dies_ends_what_waits(scene: Scene) -> None:
    """The last test: the node is gone after it."""
    with StreamClient('/streamvlm') as robot, robot.watch('Which?', CHOICES) as watch:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(robot.ask, QUESTION, after=Time(sec=2_000_000_000), timeout=600.0)
            stream = robot.stream_answer(QUESTION, max_new_tokens=LONG)
            next(stream)
            scene.node.process.kill()
            with pytest.raises(NoReplyError, match='/streamvlm has ended; look at its log'):
                asked.result(TIME)
        with pytest.raises(NoReplyError, match='has ended'):
            stream.result()
        with pytest.raises(NoReplyError, match='has ended'):
            next(watch)
    assert not threads()
