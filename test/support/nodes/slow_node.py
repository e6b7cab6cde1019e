# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that begins to load its model only when a file appears.

Start it with `python -m support.nodes.slow_node FILE ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import pathlib
import sys
import time
from typing import Any

from streamvlm_ros.nodes import building, streamvlm_node
from streamvlm_ros.nodes.loading import load_engines


def load_later(each: Sequence[Mapping[str, Any]], log: Callable[[str], object]) -> Any:
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.05)
    return load_engines(each, log)


if __name__ == '__main__':
    building.load_engines = load_later  # type: ignore[attr-defined]
    sys.exit(streamvlm_node.main())
