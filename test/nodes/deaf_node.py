# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node in whose process a library has put its own handlers of signals, as LLVM does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import ctypes
import signal
import sys
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
    building.load_engines = load_deaf
    sys.exit(streamvlm_node.main())
