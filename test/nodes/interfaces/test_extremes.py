# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every field of every service, goal, parameter and image at its extremes, against one node.

The cases come out of the interface definitions: a new field is covered. Each is answered with a
code and a sentence within its time-out, and the next question is answered as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Iterator
import functools
import math
import pathlib
import signal
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter as RosParameter
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND
from support.nodes.raw_goals import Goal, Goals

from streamvlm_ros import srv
from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.nodes.parameters.parameter import Value
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.nodes.texts import MOST_FRAME_ID, MOST_SENTENCE

QUESTION = 'What happened?'
MOST_TIME = 2.0  # seconds that a request may take
TIME = 60.0  # for its answer, on a machine with much else to do
START = 1000 * SECOND
NEVER = Time(sec=2_000_000_000)
BASE: dict[str, Any] = {
    'question': QUESTION, 'choices': ['yes', 'no'], 'max_new_tokens': 3, 'path': 'kitchen',
    'name': 'door', 'hold': 2, 'threshold': 0.7,
}  # fmt: skip
EVIL = '\x1b[31mEVIL\x1b[0m\n[INFO] forged'
TEXTS = ['', ' ', 'x' * 1_000_000, 'a\0b', EVIL, '\u202eexe.gnp', '\ufffd\U0010ffff', '../../x']
FLOATS = [0.0, -0.0, -1.0, 5e-324, 1e-12, 1e10, 1e308, -1e308, math.nan, math.inf, -math.inf]
TIMES = [
    Time(sec=sec, nanosec=nanosec)
    for sec in (-(2**31), -1, 0, 2**31 - 1)
    for nanosec in (0, 2**32 - 1)
]
LISTS = [[], [''], ['x'], ['yes', 'yes'], [EVIL, 'no'], ['x' * 1_000_000, 'no'], ['a'] * 20_000]
SERVICES = {
    'Ask': 'ask', 'AskChoice': 'ask_choice', 'AddWatch': 'add_watch', 'SaveStream': 'save',
    'RemoveWatch': 'remove_watch', 'ListWatches': 'list_watches', 'LoadStream': 'load',
    'Forget': 'forget',
}  # fmt: skip


def extremes(kind: str) -> list[Any]:
    """Return the extreme values of a field of an interface; fails for a type it does not know."""
    for bits in (8, 16, 32, 64):
        if kind == f'int{bits}':
            return [0, -1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
        if kind == f'uint{bits}':
            return [0, 1, 2 ** (bits - 1), 2**bits - 1]
    return {
        'boolean': [False],
        'string': TEXTS,
        'sequence<string>': LISTS,
        'double': FLOATS,
        'float': [value for value in FLOATS if not math.isfinite(value) or abs(value) < 1e38],
        'builtin_interfaces/Time': TIMES,
        'sequence<uint8>': [b'', b'\0', bytes(1_000_000)],
    }[kind]


def fields_of(kind: Any) -> list[tuple[str, str]]:
    return list(kind.get_fields_and_field_types().items())


def base_of(kind: Any, **fields: Any) -> Any:
    """Return a request that is in order, but for some fields."""
    names = kind.get_fields_and_field_types()
    return kind(**{**{k: v for k, v in BASE.items() if k in names}, **fields})


@pytest.fixture(scope='module')
def node(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp('node')
    settings: dict[str, Any] = {
        'sample_rate': 0.0, 'request_timeout': MOST_TIME / 2, 'max_request_timeout': MOST_TIME,
        'save_folder': folder / 'saved',
    }  # fmt: skip
    with NodeProcess(folder, model=model_folder, **settings) as process:
        yield process
        assert process.stop(signal.SIGINT) == 0
        log = process.log()
        assert 'Traceback' not in log
        assert 'EVIL' not in log or ('\x1b[31mEVIL' not in log and '\n[INFO] forged' not in log)


@pytest.fixture(scope='module')
def shared_camera(node: NodeProcess) -> Iterator[Camera]:
    with Camera(node) as camera:
        camera.wait_ready()
        yield camera


def feed(camera: Camera) -> None:
    """Begin the stream anew with four images."""
    assert camera.call(Trigger, 'reset', Trigger.Request(), TIME).success
    for i in range(4):
        camera.publish(make_image(START + i * SECOND // 2, i))
    settle(camera)


def settle(camera: Camera) -> None:
    expected = camera.published
    camera.wait_status(lambda s: s.frames_received >= expected and not s.frames_waiting)


@pytest.fixture(scope='module')
def right(shared_camera: Camera) -> str:
    feed(shared_camera)
    return ask(shared_camera)


@pytest.fixture
def camera(shared_camera: Camera, right: str) -> Iterator[Camera]:
    """Return a camera whose node answers rightly, and does so afterwards."""
    yield shared_camera
    assert ask(shared_camera) == right
    assert shared_camera.status is not None and not shared_camera.status.internal_faults


def ask(camera: Camera) -> str:
    # Time enough on any machine is more than the test's bound for a request: ask until it comes.
    for _ in range(30):
        response = camera.ask(QUESTION, max_new_tokens=8)
        if response.error_code != srv.Ask.Response.TIMEOUT:
            break
    assert response.success, response.error_msg
    return str(response.answer.text)


def answered(camera: Camera, kind: Any, name: str, request: Any) -> Any:
    future = camera.start_call(kind, name, request)
    assert camera.wait_until(future.done, TIME), f'no answer to {str(request)[:200]}'
    return future.result()


def check_fault(error_code: int, error_msg: str, success: bool) -> None:
    assert success == (error_code == 0), error_msg
    assert error_code != srv.Ask.Response.INTERNAL, error_msg
    if not success:
        assert error_msg.endswith(('.', '...')) and error_msg.isprintable()
        assert len(error_msg) <= MOST_SENTENCE


def test_every_service_is_here() -> None:
    assert set(SERVICES) == {name for name in dir(srv) if hasattr(getattr(srv, name), 'Request')}


@pytest.mark.parametrize(
    ('kind', 'field', 'type_name'),
    [(kind, *field) for kind in SERVICES for field in fields_of(getattr(srv, kind).Request)],
)
def test_services(camera: Camera, kind: str, field: str, type_name: str) -> None:
    service = getattr(srv, kind)
    for value in extremes(type_name):
        request = base_of(service.Request, **{field: value})
        response = answered(camera, service, SERVICES[kind], request)
        check_fault(response.error_code, response.error_msg, response.success)
        if kind == 'AddWatch' and response.success:
            assert camera.remove_watch(response.name).success


def is_over(goal: Goal) -> bool:
    return goal.is_over


@pytest.mark.parametrize(('field', 'type_name'), fields_of(AnswerQuestion.Goal))
def test_goals(camera: Camera, field: str, type_name: str) -> None:
    with Goals(camera) as goals:
        for value in extremes(type_name):
            given: dict[str, Any] = {'question': QUESTION, 'max_new_tokens': 3, field: value}
            goal = goals.send(**given)
            assert camera.wait_until(functools.partial(is_over, goal), TIME)
            if goal.accepted:
                result = goal.result
                check_fault(result.error_code, result.error_msg, result.success)


@pytest.mark.parametrize('timeout', [t for t in FLOATS if 0 < t < math.inf])
def test_any_timeout_ends_a_request_that_waits(camera: Camera, timeout: float) -> None:
    """What comes never is over with the node's bound, however long its caller would wait."""
    request = srv.Ask.Request(question=QUESTION, after=NEVER, timeout=timeout)
    response = answered(camera, srv.Ask, 'ask', request)
    assert response.error_code == srv.Ask.Response.TIMEOUT
    assert f'{min(timeout, MOST_TIME):g} s' in response.error_msg


NUMBERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63)]


def parameter_values(default: Value) -> list[ParameterValue]:
    """Return extremes of the right type and of all others, and a type that is none."""
    values: list[Any] = [*NUMBERS, *FLOATS, *TEXTS, True, False, LISTS[1], [1, 2], [1.5], [b'\0']]
    if isinstance(default, str):
        values.remove(' ')  # the same as nothing
    messages = [RosParameter('x', value=value).get_parameter_value() for value in values]
    return [*messages, ParameterValue(type=0), ParameterValue(type=255)]


@pytest.mark.parametrize('name', [parameter.name for parameter in PARAMETERS])
def test_parameters(camera: Camera, node: NodeProcess, name: str) -> None:
    default = next(parameter.default for parameter in PARAMETERS if parameter.name == name)
    before = RosParameter(name, value=values_of(camera, name)).to_parameter_msg()
    for value in parameter_values(default):
        message = ParameterMsg(name=name, value=value)
        request = SetParameters.Request(parameters=[message])
        results = answered(camera, SetParameters, 'set_parameters', request).results
        assert len(results) == 1
        assert results[0].successful != bool(results[0].reason)
        assert len(results[0].reason) <= MOST_SENTENCE
        if results[0].successful:
            restore = SetParametersAtomically.Request(parameters=[before])
            restored = answered(
                camera, SetParametersAtomically, 'set_parameters_atomically', restore
            )
            assert restored.result.successful, restored.result.reason


def values_of(camera: Camera, name: str) -> Any:
    request = GetParameters.Request(names=[name])
    response = answered(camera, GetParameters, 'get_parameters', request)
    return parameter_value_to_python(response.values[0])


@pytest.mark.parametrize(
    ('field', 'type_name'), [field for field in fields_of(Image) if field[0] != 'header']
)
def test_images(camera: Camera, field: str, type_name: str) -> None:
    for value in extremes(type_name):
        image = make_image(START + 10 * SECOND)
        setattr(image, field, value)
        camera.publish(image)
    settle(camera)
    assert camera.status is not None
    last_error = camera.status.last_error
    assert len(last_error) <= MOST_SENTENCE and last_error.isprintable()
    feed(camera)


def test_headers(camera: Camera) -> None:
    for stamp in TIMES:
        image = make_image(START)
        image.header.stamp = stamp
        camera.publish(image)
    for frame_id in TEXTS:
        camera.publish(make_image(START + 10 * SECOND))
        image = make_image(START + 11 * SECOND)
        image.header.frame_id = frame_id
        camera.publish(image)
    settle(camera)
    assert camera.status is not None and len(camera.status.header.frame_id) <= MOST_FRAME_ID
    feed(camera)
