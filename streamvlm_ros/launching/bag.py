# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The description of a launch that plays a bag, asks about it, and ends with 0 or 1.

One step starts when the one before has ended well. A step that fails raises: that is how a launch
ends with exit code 1, and launch prints the sentence.
"""

from __future__ import annotations

from collections.abc import Callable
import pathlib
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import EmitEvent, ExecuteProcess, OpaqueFunction
from launch.events import Shutdown
from launch.events.process import ProcessExited

from streamvlm_ros.bags.bags import image_topic
from streamvlm_ros.launching import playing
from streamvlm_ros.launching.arguments import declare, given_values
from streamvlm_ros.launching.stream import config_file, discovery, stream_node, surroundings
from streamvlm_ros.launching.values import absolute_name, is_true, parse_list, parse_timeout
from streamvlm_ros.launching.viewers import is_installed

NODE_NAMES = (
    'model', 'device', 'quantization', 'sample_rate', 'image_transport', 'load', 'namespace',
    'params_file', 'use_sim_time', 'log_level',
)  # fmt: skip
NAMES = ('bag', 'question', 'choices', 'topic', 'timeout', *NODE_NAMES)


def bag_launch() -> LaunchDescription:
    """Describe the launch: load, play, ask, end."""
    return LaunchDescription(
        [
            *declare(*NAMES, 'discovery_range', params_file=config_file('bag.yaml')),
            *surroundings(),
            *discovery(),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[Any]:
    given = given_values(context, *NAMES)
    choices, timeout = parse_list(given['choices']), parse_timeout(given['timeout'])
    topic = image_topic(pathlib.Path(given['bag']), given['topic'])
    transport = 'compressed' if topic.compressed else 'raw'
    if given['image_transport'] not in ('', transport):
        raise ValueError(
            f'image_transport is {given["image_transport"]!r}, and the images on {topic.name} of '
            f'the bag are {transport}; leave it out, or pick another topic.'
        )
    fixed = {'autostart': 'true', 'respawn': 'false'}
    node = stream_node(
        {**given, **fixed, 'image': topic.base},
        {'image_transport': transport},
        if_refused=[OpaqueFunction(function=_node_refused)],
        on_exit=_node_ended,
    )
    play = playing.play_command(
        given['bag'],
        topic.name,
        topic.heard,
        with_rosbag2=is_installed('ros2bag'),
        with_clock=is_true(given['use_sim_time']),
    )
    name = absolute_name(given['namespace'], 'streamvlm')
    ask = playing.ask_command(name, given['question'], choices, timeout)
    end = EmitEvent(event=Shutdown(reason='the question was answered'))
    asking = _step('ask', ask, 'The question was not answered', end)
    player = _step('player', play, 'The bag was not played', asking)
    command = playing.wait_command(name)
    return [*node, _step('ready', command, 'The node did not become ready', player)]


def _step(name: str, command: list[str], fault: str, following: Any) -> ExecuteProcess:
    """Return a process whose good end starts what follows."""
    return ExecuteProcess(
        cmd=command, name=name, output='screen', on_exit=_after(fault, following)
    )


def _after(fault: str, following: Any) -> Callable[[ProcessExited, LaunchContext], Any]:
    def on_exit(event: ProcessExited, context: LaunchContext) -> Any:
        if context.is_shutdown:
            return []
        if event.returncode:
            raise RuntimeError(f'{fault}; see its messages above.')
        return [following]

    return on_exit


def _node_ended(event: ProcessExited, context: LaunchContext) -> list[Any]:
    if not context.is_shutdown:
        raise RuntimeError('The node ended before the question was answered.')
    return []


def _node_refused(context: LaunchContext) -> list[Any]:
    raise RuntimeError('The node could not be configured; see its messages above.')
