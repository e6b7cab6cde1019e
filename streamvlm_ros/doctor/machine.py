# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What DDS needs of the machine, and the room on its disks."""

from __future__ import annotations

from collections.abc import Iterator
import importlib
import os
import pathlib
import shutil

from streamvlm_ros.distributions import PROFILE_VARIABLES, set_profile
from streamvlm_ros.doctor.finding import bad, Finding, note, ok
from streamvlm_ros.environment import find_share

SHARED_MEMORY = pathlib.Path('/dev/shm')
SEGMENT = 64 << 20  # bytes of a process with config/fastdds_shm.xml
RECEIVE_BUFFER = pathlib.Path('/proc/sys/net/core/rmem_max')
WANTED_BUFFER = 8 << 20  # bytes: an image of 1920x1080, and some of the next one
LEAST_FREE = 1 << 30  # bytes of a disk on which streams are saved


def check_ros() -> Iterator[Finding]:
    """Check whether rclpy and the built interfaces are there, and the profile of Fast DDS."""
    try:
        importlib.import_module('rclpy')
        from rclpy.utilities import get_rmw_implementation_identifier

        middleware = str(get_rmw_implementation_identifier())
    except Exception as error:  # an ImportError, or of a library that does not load
        why = ' '.join(str(error).split())
        yield note(
            'ROS 2',
            f'It is not available ({why}); streamvlm replay and the Python API work without it.',
            "Source a distribution's setup file, or use scripts/with_ros.",
        )
        return
    distribution = os.environ.get('ROS_DISTRO', 'unknown')
    yield ok('ROS 2', f'{distribution}, with {middleware}.')
    try:
        importlib.import_module('streamvlm_ros.msg')
    except ImportError as error:
        yield bad(
            'Interfaces',
            f'They are not built, or not on the path ({error}).',
            'colcon build, and source install/setup.bash; or make setup.',
        )
    else:
        yield ok('Interfaces', 'They are built.')
    if 'fastrtps' in middleware:
        yield from _check_profile()


def check_shared_memory() -> Iterator[Finding]:
    """Check the room of the shared memory through which processes of one machine pass images."""
    if not SHARED_MEMORY.is_dir():
        yield note('/dev/shm', 'There is none; images of one machine go through the network.')
        return
    usage = shutil.disk_usage(SHARED_MEMORY)
    text = f'{usage.free >> 20} of {usage.total >> 20} MiB are free.'
    if usage.free < 2 * SEGMENT:
        yield bad(
            '/dev/shm',
            f'{text[:-1]}; camera and node need {SEGMENT >> 20} MiB each.',
            'Remove what killed processes have left in it (fastrtps_*), or start the container '
            'with --ipc=host or a larger --shm-size.',
        )
    else:
        yield ok('/dev/shm', text)


def check_sockets() -> Iterator[Finding]:
    """Check the largest receive buffer, which images of other machines need."""
    try:
        most = int(RECEIVE_BUFFER.read_text())
    except (OSError, ValueError):
        yield note('Sockets', f'{RECEIVE_BUFFER} cannot be read here.')
        return
    if most >= WANTED_BUFFER:
        yield ok('Sockets', f'net.core.rmem_max is {most} bytes.')
    else:
        yield note(
            'Sockets',
            f'net.core.rmem_max is {most} bytes, which is little for images of other machines.',
            f'For a camera elsewhere: sudo sysctl -w net.core.rmem_max={WANTED_BUFFER}.',
        )


def check_disk(folder: pathlib.Path) -> Iterator[Finding]:
    """Check the folder in which streams are saved: it can be written, and has room."""
    folder = folder.expanduser()
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    name = 'Disk'
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        yield bad(
            name,
            f'{there} cannot be written.',
            'Give another folder with save_folder, or mend it.',
        )
        return
    free = shutil.disk_usage(there).free
    text = f'{folder} has {free / 1e9:.1f} GB free.'
    if free < LEAST_FREE:
        yield bad(name, text, 'Make room, or set save_folder to a folder on another disk.')
    else:
        yield ok(name, text)


def _check_profile() -> Iterator[Finding]:
    name = 'DDS profile'
    wanted: dict[str, str] = {'ROS_DISTRO': os.environ.get('ROS_DISTRO', '')}
    profile = find_share('config/fastdds_shm.xml')
    set_profile(wanted, profile)
    given = {key: os.environ[key] for key in PROFILE_VARIABLES if os.environ.get(key)}
    for key, path in given.items():
        if not pathlib.Path(path).is_file():
            yield bad(name, f'{key} names {path}, which is not there.', 'Unset it, or mend it.')
            return
    if given:
        yield ok(name, ', '.join(f'{key}={path}' for key, path in given.items()) + '.')
        return
    (setting,) = [f'{key}={path}' for key, path in wanted.items() if key in PROFILE_VARIABLES] or [
        ''
    ]
    yield note(
        name,
        'None is set; streamvlm run and the launch files set one for the node.',
        f'If the camera publishes best effort, start its process with {setting}.'
        if setting
        else '',
    )
