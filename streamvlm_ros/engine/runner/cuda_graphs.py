# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work on the device that is recorded once and then replayed as one launch (CUDA graphs)."""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable
import time
from typing import Any, Protocol, TypeVar

import torch


class Recordable(Protocol):
    """Work on static buffers: nothing in it depends on the host."""

    def run(self) -> None:
        """Launch the work."""


R = TypeVar('R', bound=Recordable)


class GraphRunner:
    """Keeps works by their key, and the recordings of those that are used more than once.

    The first use of a work runs it as it is, which compiles its kernels; the second records it.
    All recordings share one pool of memory, as they never run at the same time; all are made on
    the GPU that is current.  The works that were not used for longest go when there are too many.

    Attributes:
        recorded: how many recordings were made.
        seconds: time that took.

    """

    def __init__(self, most: int = 48) -> None:
        """Keep at most so many works."""
        self._most = most
        self._works: collections.OrderedDict[Hashable, list[Any]] = collections.OrderedDict()
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None
        self.recorded = 0
        self.seconds = 0.0

    def work(self, key: Hashable, make: Callable[[], R]) -> R:
        """Return the work of a key; made if there is none."""
        if key not in self._works:
            while len(self._works) >= self._most:
                self._works.popitem(last=False)
            self._works[key] = [make(), 0, None]
        self._works.move_to_end(key)
        return self._works[key][0]

    def run(self, key: Hashable) -> None:
        """Run the work of a key, by its recording if there is one."""
        entry = self._works[key]
        work, uses, graph = entry
        entry[1] += 1
        if graph is not None:
            graph.replay()
        elif not uses:
            work.run()
        else:
            entry[2] = graph = self._record(work)
            graph.replay()

    def _record(self, work: Recordable) -> Any:
        began = time.perf_counter()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
            # PyTorch's own is on the GPU that first recorded anything.
            self._stream = torch.cuda.Stream()
        graph = torch.cuda.CUDAGraph()
        # Other threads may ask for memory meanwhile; only this one's calls are recorded.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode='thread_local'
        ):
            work.run()
        self.recorded += 1
        self.seconds += time.perf_counter() - began
        return graph
