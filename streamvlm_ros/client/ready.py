# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Waits until a node has loaded its model and listens to its camera.

`python -m streamvlm_ros.client.ready NODE`

For launch files, whose next step needs the node. Loading takes seconds to minutes.
"""

from __future__ import annotations

import sys

from streamvlm_ros import interrupts

if __name__ == '__main__':  # before the other imports, which take time
    interrupts.install()

from streamvlm_ros.client.client import Client
from streamvlm_ros.errors import CommandError
from streamvlm_ros.msg import StreamStatus

LOAD_TIME = 900.0  # seconds; a large model from a slow disk
READY = (StreamStatus.WAITING_FOR_IMAGES, StreamStatus.STREAMING, StreamStatus.ANSWERING)


def main() -> int:
    """Wait; return the exit code."""
    name = sys.argv[1]
    try:
        with Client(name) as client:
            wait(client)
    except CommandError as error:
        print(f'ready: {error}', file=sys.stderr)
        return 1
    return 0


def wait(client: Client) -> None:
    """Wait until the node's status says that it is ready.

    Raises:
        CommandError: it is not ready in time.
    """
    if not client.wait_until(
        lambda: client.status is not None and client.status.state in READY, LOAD_TIME
    ):
        raise CommandError(f'{client.target} is not ready after {LOAD_TIME:g} s; see its log.')


if __name__ == '__main__':
    sys.exit(main())
