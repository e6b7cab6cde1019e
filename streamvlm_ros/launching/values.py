# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The values of launch arguments, which are always text. Pure functions; launch is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses

DISCOVERY_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')


@dataclasses.dataclass(frozen=True)
class Camera:
    """One of several cameras: the namespace of its node, and its topic."""

    namespace: str
    topic: str


def is_true(text: str) -> bool:
    """Return what a yes-or-no argument says, as launch's own conditions read it.

    Raises:
        ValueError: it is neither.
    """
    words = {'true': True, '1': True, 'false': False, '0': False}
    if text.strip().lower() not in words:
        raise ValueError(f'{text!r} is neither true nor false.')
    return words[text.strip().lower()]


def parse_list(text: str) -> list[str]:
    """Return the parts of a list with commas; blanks around them do not count."""
    return [part.strip() for part in text.split(',') if part.strip()]


def parse_cameras(text: str, image: str) -> list[Camera]:
    """Return the cameras of a list such as 'front, rear=/usb_cam/image_raw'.

    Args:
        text: namespaces with commas between them; behind '=' the topic, where it is another.
        image: the topic of the others; a relative name lies in the camera's namespace.

    Raises:
        ValueError: there is no camera, one without a name, or one twice.
    """
    cameras = []
    for part in parse_list(text):
        namespace, has_topic, topic = (piece.strip() for piece in part.partition('='))
        if not namespace.strip('/') or (has_topic and not topic):
            raise ValueError(f'{part!r} is no camera: write a namespace, or namespace=topic.')
        cameras.append(Camera(namespace.strip('/'), topic or image))
    names = [camera.namespace for camera in cameras]
    if not names:
        raise ValueError("cameras is empty: list namespaces, as in cameras:='front, rear'.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'cameras names {", ".join(twice)} more than once.')
    return cameras


def discovery_environment(wanted: str, distribution: str) -> dict[str, str]:
    """Return the variables that limit who finds a process of the ROS graph.

    Args:
        wanted: value of the argument `discovery_range`; '': what the environment says.
        distribution: value of ROS_DISTRO. Humble's DDS knows this host or the network only.

    Raises:
        ValueError: there is no such range.
    """
    name = wanted.strip().upper()
    known = ('LOCALHOST', 'SUBNET') if distribution == 'humble' else DISCOVERY_RANGES
    if not name:
        return {}
    if name not in known:
        raise ValueError(f'discovery_range is {wanted!r}; it must be one of {", ".join(known)}.')
    if distribution == 'humble':
        return {'ROS_LOCALHOST_ONLY': '1' if name == 'LOCALHOST' else '0'}
    # Where it is set, the older variable counts more than the newer.
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': name, 'ROS_LOCALHOST_ONLY': ''}


def camera_remappings(
    given: Mapping[str, str], cameras: Sequence[Camera]
) -> list[tuple[str, str]]:
    """Return the topics of several cameras in one process, whose namespaces are below its own."""
    return [
        (absolute_name(given['namespace'], f'{camera.namespace}/image'), camera.topic)
        for camera in cameras
    ]


def absolute_name(namespace: str, name: str) -> str:
    """Return a topic's or node's full name; one that begins with '/' is full already."""
    if name.startswith('/'):
        return name
    return '/'.join(['', *(part for part in namespace.split('/') if part), name])
