# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""After the storm: a fresh stream is shown a known scene, and the answers have to be right."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
import numpy as np
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger
from support.nodes.raw_client import Client

from streamvlm_ros.cli.demo_plan import make_plan
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.srv import ListWatches, RemoveWatch

SECOND = 1_000_000_000
TIME = 60.0  # seconds for each step, on a machine that is busy
SETTINGS = {
    'sample_rate': 2.0,
    'stale_after': 0.0,
    'policy': 'frames_first',
    'max_goals': 8,
    'goal_policy': 'queue',
    'max_new_tokens': 32,
    'request_timeout': 30.0,
}


def check_calm(client: Client, topic: str) -> list[str]:
    """Return what is wrong with a stream that is begun afresh; [] when all answers are right."""
    client.wait_until(lambda: _status(client).pending_requests == 0, TIME)
    request = SetParameters.Request(
        parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in SETTINGS.items()
        ]
    )
    results = client.call(SetParameters, 'set_parameters', request, TIME).results
    faults = [result.reason for result in results if not result.successful]
    for watch in client.call(ListWatches, 'list_watches', ListWatches.Request(), TIME).watches:
        client.call(RemoveWatch, 'remove_watch', RemoveWatch.Request(name=watch.name), TIME)
    for kind, name, wanted in (
        (SetBool, 'set_paused', SetBool.Request(data=False)),
        (Trigger, 'reset', Trigger.Request()),
    ):
        response = client.call(kind, name, wanted, TIME)
        faults += [] if response.success else [f'{name}: {response.message}']
    return faults + _answers(client, topic)


def _status(client: Client) -> StreamStatus:
    """Return the newest status, which has come."""
    assert client.status is not None
    return client.status


def _answers(client: Client, topic: str) -> list[str]:
    plan = make_plan()
    faults: list[str] = []
    publisher = client.node.create_publisher(Image, topic, QoSProfile(depth=200))
    client.wait_until(lambda: publisher.get_subscription_count() > 0, TIME)
    shown = 0
    for asked in plan.questions:
        due = plan.stamp_ns(asked)
        expected = _status(client).frames_received - shown
        while plan.scene.stamps_ns[shown] <= due:
            publisher.publish(_image(plan.scene.frames[shown], plan.scene.stamps_ns[shown]))
            shown += 1
        expected += shown

        def all_there(expected: int = expected) -> bool:
            status = _status(client)
            return status.frames_received >= expected and not status.frames_waiting

        if not client.wait_until(all_there, TIME):
            return [*faults, f'the scene does not arrive: {client.status}']
        question = asked.question
        response: Any = (
            client.ask(question.text, timeout=30.0)
            if asked.verb == 'ask'
            else client.ask_choice(question.text, list(question.choices), timeout=30.0)
        )
        if not response.success or response.answer.text.strip() != question.answer:
            faults.append(
                f'{question.text!r} is answered {response.answer.text!r} and not '
                f'{question.answer!r} {response.error_msg}'
            )
    client.node.destroy_publisher(publisher)
    return faults


def _image(frame: np.ndarray, stamp_ns: int) -> Image:
    height, width, _ = frame.shape
    image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    image.header.stamp = Time(sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
    image.header.frame_id = 'camera'
    image.data.frombytes(np.ascontiguousarray(frame).tobytes())
    return image
