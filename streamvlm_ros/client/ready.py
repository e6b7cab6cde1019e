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

from streamvlm_ros.client.client import StreamClient
from streamvlm_ros.errors import StreamError


def main() -> int:
    """Wait; return the exit code."""
    try:
        with StreamClient(sys.argv[1]) as client:
            client.wait_until_ready()
    except StreamError as error:
        print(f'ready: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
