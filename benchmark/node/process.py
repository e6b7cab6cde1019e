# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The node as it is, but with a random model of published dimensions in place of loaded weights.

    python -m benchmark.node.process DIMENSIONS AGES [--ros-args …]

Only ``StreamQwenModel.from_pretrained`` is another: writing 16 GB of random weights to load them
again would show nothing but the disk. What every frame's age was when it reached the stream, the
number that ``frame_age`` of the status shows for the newest, is written to AGES at the end: lines
of the time and the age, in seconds.
"""

from __future__ import annotations

import pathlib
import sys
import time
from typing import Any

from benchmark.common.dimensions import build
from streamvlm_ros.engine import pick_device, StreamQwenModel
from streamvlm_ros.engine.serving.frame_queue import FrameQueue
from streamvlm_ros.nodes.streamvlm_node import main as run_node


def main() -> int:
    """Run the node; return its exit code."""
    name, ages = sys.argv[1], pathlib.Path(sys.argv[2])
    seen: list[tuple[float, float]] = []
    counted = FrameQueue.taken

    def random_model(path: Any, **kwargs: Any) -> StreamQwenModel:
        return build(name, pick_device('auto'), kwargs['dtype'])[0]

    def noting(self: FrameQueue, frame: Any, fault: Any) -> None:
        counted(self, frame, fault)
        if fault is None:
            seen.append((time.time(), self._counters.frame_age))

    StreamQwenModel.from_pretrained = random_model  # type: ignore[method-assign]
    FrameQueue.taken = noting  # type: ignore[method-assign]
    try:
        return run_node([sys.argv[0], *sys.argv[3:]])
    finally:
        ages.write_text(''.join(f'{when:.6f} {age:.6f}\n' for when, age in seen), encoding='ascii')


if __name__ == '__main__':
    sys.exit(main())
