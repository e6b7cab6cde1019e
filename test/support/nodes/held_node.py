# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node whose model stands still while a file is there.

Start it with `python -m support.nodes.held_node FILE ...`.
"""

from __future__ import annotations

import pathlib
import sys
import time
from typing import Any

from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.nodes import streamvlm_node

append = FrameStream.append


def held(stream: FrameStream, *args: Any, **kwargs: Any) -> None:
    while pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.02)
    append(stream, *args, **kwargs)


if __name__ == '__main__':
    FrameStream.append = held  # type: ignore
    sys.exit(streamvlm_node.main())
