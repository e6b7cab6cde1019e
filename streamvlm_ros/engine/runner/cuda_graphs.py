# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work on the device that is captured once and then replayed as one launch (CUDA graphs)."""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable
import time
from typing import Any, Protocol, TypeVar

import torch


class Capturable(Protocol):
    """Work on static buffers: nothing in it depends on the host."""

    def run(self) -> None:
        """Launch the work."""


R = TypeVar('R', bound=Capturable)


class GraphRunner:
    """Keeps works by key, and the graphs of those that are used more than once.

    The first use of a work runs it directly, which compiles its kernels; the second captures it.
    All graphs share one pool of memory, as they never run at the same time; they are captured on
    the GPU that is current.  When there are too many, the least recently used work is dropped.

    Attributes:
        captured: how many graphs were captured.
        seconds: time that capturing took.

    """

    def __init__(self, most: int = 48) -> None:
        """Keep at most ``most`` works."""
        self._most = most
        self._works: collections.OrderedDict[Hashable, list[Any]] = collections.OrderedDict()
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None
        self.captured = 0
        self.seconds = 0.0

    def work(self, key: Hashable, make: Callable[[], R]) -> R:
        """Return the work of a key; ``make`` makes it if there is none."""
        if key not in self._works:
            while len(self._works) >= self._most:
                self._works.popitem(last=False)
            self._works[key] = [make(), 0, None]
        self._works.move_to_end(key)
        return self._works[key][0]

    def run(self, key: Hashable) -> None:
        """Run the work of a key: replay its graph if there is one."""
        entry = self._works[key]
        work, uses, graph = entry
        entry[1] += 1
        if graph is not None:
            graph.replay()
        elif not uses:
            work.run()
        else:
            entry[2] = graph = self._capture(work)
            graph.replay()

    def _capture(self, work: Capturable) -> Any:
        began = time.perf_counter()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
            # The stream that PyTorch would use is on the GPU that first captured anything.
            self._stream = torch.cuda.Stream()
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate meanwhile; only the calls of this thread are captured.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode='thread_local'
        ):
            work.run()
        self.captured += 1
        self.seconds += time.perf_counter() - began
        return graph
