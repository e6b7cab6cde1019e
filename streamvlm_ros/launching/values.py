# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The values of launch arguments, which are always text. Pure functions; launch is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

from streamvlm_ros.distributions import discovery_ranges, discovery_variables

LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
# Launch arguments with the names of the parameters that they set.
PARAMETER_ARGUMENTS = ('model', 'device', 'quantization', 'sample_rate', 'image_transport')
_PART = r'[A-Za-z_][A-Za-z0-9_]*'
_NAMESPACE = re.compile(rf'/?{_PART}(/{_PART})*/?')
_TOPIC = re.compile(rf'(~/|/)?{_PART}(/{_PART})*')


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


def check_log_level(text: str) -> None:
    """Refuse a log level that ROS does not know, which would end the node at its start.

    Raises:
        ValueError: it is not one.
    """
    logger, _, level = text.rpartition(':=')  # one logger's own, as in 'rcl:=debug'
    if level.lower() not in LOG_LEVELS or (':=' in text and not logger):
        raise ValueError(f'log_level is {text!r}; it must be one of {", ".join(LOG_LEVELS)}.')


def check_topic(argument: str, text: str) -> None:
    """Refuse what cannot be a topic's name.

    Raises:
        ValueError: it cannot be one.
    """
    if not _TOPIC.fullmatch(text):
        raise ValueError(
            f'{argument} is {text!r}, which is not a topic: write letters, digits and _, with / '
            'between the parts and no digit first, as in /camera/image_raw.'
        )


def check_namespace(text: str) -> None:
    """Refuse what cannot be a namespace; empty is the root.

    Raises:
        ValueError: it cannot be one.
    """
    if text.strip('/') and not _NAMESPACE.fullmatch(text):
        raise ValueError(
            f'namespace is {text!r}, which is not a namespace: use letters, digits and _, with / '
            'between the parts and no digit first, as in robot/front.'
        )


def parameter_arguments(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the node's parameters that launch arguments give; those left empty are left out.

    Raises:
        ValueError: sample_rate is not a number.
    """
    own: dict[str, Any] = {
        name: given[name] for name in PARAMETER_ARGUMENTS if given.get(name, '')
    }
    if 'sample_rate' in own:
        try:
            own['sample_rate'] = float(own['sample_rate'])
        except ValueError:
            raise ValueError(
                f'sample_rate is {own["sample_rate"]!r}; give a number of frames a second.'
            ) from None
    if given.get('load', ''):
        own['load_at_start'] = given['load']
    return own


def parse_timeout(text: str) -> float:
    """Return the seconds that an argument gives.

    Raises:
        ValueError: it is not a number above 0.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float('inf'):
        raise ValueError(f'timeout is {text!r}; give a number of seconds above 0.')
    return seconds


def parse_list(text: str) -> list[str]:
    """Return the parts of a list with commas; blanks around them do not count."""
    return [part.strip() for part in text.split(',') if part.strip()]


def parse_cameras(text: str, image: str) -> list[Camera]:
    """Return the cameras of a list such as 'front, rear=/usb_cam/image_raw'.

    Args:
        text: namespaces with commas between them; after '=' the topic, if it is another one.
        image: the topic of the others; a relative name lies in the camera's namespace.

    Raises:
        ValueError: there is no camera, or one has no name or is there twice.
    """
    cameras = []
    for part in parse_list(text):
        namespace, has_topic, topic = (piece.strip() for piece in part.partition('='))
        if not namespace.strip('/') or (has_topic and not topic):
            raise ValueError(f'{part!r} is not a camera: write a namespace, or namespace=topic.')
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
        distribution: value of ROS_DISTRO.

    Raises:
        ValueError: there is no such range.
    """
    name = wanted.strip().upper()
    known = discovery_ranges(distribution)
    if not name:
        return {}
    if name not in known:
        raise ValueError(f'discovery_range is {wanted!r}; it must be one of {", ".join(known)}.')
    return discovery_variables(name, distribution)


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
