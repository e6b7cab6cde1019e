# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process's surroundings in the ROS graph: domain, discovery, Fast DDS profile, children."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
from typing import Any

from streamvlm_ros.distributions import discovery_variables, set_profile

# Above 101 a domain's UDP ports reach into the range that Linux gives to outgoing connections.
DOMAINS = range(1, 102)
SOCKETS = ('/proc/net/udp', '/proc/net/udp6')
STOP_TIME = 12.0  # seconds; a node waits up to 10 for its worker
_held: socket.socket | None = None  # the port that holds this process's domain


def use_camera_profile(environment: MutableMapping[str, str]) -> None:
    """Give Fast DDS room for camera images, unless the user has a profile of their own."""
    set_profile(environment, find_share('config/fastdds_shm.xml'))


def find_share(path: str) -> pathlib.Path | None:
    """Return a file of the package, from the source tree or the install space, or None."""
    folders = [pathlib.Path(__file__).parents[1]]
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        folders.append(pathlib.Path(prefix) / 'share' / 'streamvlm_ros')
    return next((folder / path for folder in folders if (folder / path).is_file()), None)


def private_graph() -> dict[str, str]:
    """Return environment variables for a ROS graph that no other process sees."""
    return {
        'ROS_DOMAIN_ID': str(free_domain_id()),
        **discovery_variables('LOCALHOST', os.environ.get('ROS_DISTRO', '')),
    }


def free_domain_id() -> int:
    """Return a random domain that no process of this machine uses, and reserve it for this one.

    It is held until the process ends or asks for another one: two processes that look at the same
    moment do not find the same domain.
    """
    taken = set()
    for table in SOCKETS:
        with contextlib.suppress(OSError):
            lines = pathlib.Path(table).read_text(encoding='ascii').splitlines()[1:]
            taken |= {int(line.split()[1].rpartition(':')[2], 16) for line in lines}
    domains = random.SystemRandom().sample(DOMAINS, len(DOMAINS))
    for domain in domains:
        # A domain's participants listen on 250 ports from 7400 + 250 * domain on, the last of
        # which is the 120th participant's.
        ports = range(7400 + 250 * domain, 7650 + 250 * domain)
        if not taken & set(ports) and _hold(ports[-1]):
            return domain
    return domains[0]


def _hold(port: int) -> bool:
    """Bind a UDP port in place of the one that was bound before; False: it is taken."""
    global _held
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        holder.bind(('127.0.0.1', port))
    except OSError:
        holder.close()
        return False
    if _held is not None:
        _held.close()
    _held = holder
    return True


@contextlib.contextmanager
def child(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that ends with the block: by SIGINT, and by SIGKILL if that takes too long."""
    # Of its own session: a Ctrl-C in the terminal is for the parent, which then ends the child.
    everything: dict[str, Any] = {'start_new_session': True, **options}
    process = subprocess.Popen(command, **everything)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a child and return its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
