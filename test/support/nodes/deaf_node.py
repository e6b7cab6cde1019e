# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node in whose process others handle signals too.

Start it with `python -m support.nodes.deaf_node replaced|taken ...`.

'replaced': a library has put its own handlers in the place of Python's, as LLVM does. 'taken': a
thread that was there before the node takes the signals, as one of OpenBLAS may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import ctypes
import signal
import sys
import threading
from typing import Any

from streamvlm_ros.nodes import building, streamvlm_node
from streamvlm_ros.nodes.loading import load_engines


def load_deaf(each: Sequence[Mapping[str, Any]], log: Callable[[str], object]) -> Any:
    engines = load_engines(each, log)
    libc = ctypes.CDLL(None)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Any C function of one int that does no harm.
        libc.signal(number, ctypes.cast(libc.abs, ctypes.c_void_p))
    return engines


if __name__ == '__main__':
    if sys.argv[1] == 'replaced':
        building.load_engines = load_deaf  # type: ignore[attr-defined]
    else:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    sys.exit(streamvlm_node.main())
