# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sets the repository up: python3 -m scripts.setup jazzy, in the repository's root."""

from __future__ import annotations

import errno
import fcntl
import signal
import sys
from types import FrameType

from scripts.setup.checks import DISK_FULL, SetupError
from scripts.setup.paths import LOGS
from scripts.setup.steps import set_up


def main() -> int:
    """Set up what is missing; return the exit status. All output goes to stderr."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / 'lock').open('w') as lock:
            # Two at once, such as `make test` beside `make demo`: the second waits for the first.
            fcntl.flock(lock, fcntl.LOCK_EX)
            set_up(sys.argv[1])
    except SetupError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        sentence = DISK_FULL if error.errno == errno.ENOSPC else str(error)
        print(f'setup: {sentence}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nsetup: interrupted; the next run continues here', file=sys.stderr)
        return 130
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    sys.exit(main())
