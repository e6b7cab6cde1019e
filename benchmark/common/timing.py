# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times of work on a device that runs asynchronously, and their summaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import time
from typing import Any

import numpy as np
import torch


class Timer:
    """Times work on devices, in milliseconds: they are waited for before and after."""

    def __init__(self, *devices: str) -> None:
        """Take the devices."""
        self._gpus = [each for each in devices if torch.device(each).type == 'cuda']

    def __call__(self, work: Callable[[], Any], times: int = 7, warm: int = 2) -> list[float]:
        """Return the times of `times` runs after `warm` warm-up runs."""
        return [self.once(work) for _ in range(warm + times)][warm:]

    def once(self, work: Callable[[], Any]) -> float:
        """Return the time of one run."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return 1e3 * (time.perf_counter() - began)

    def wait(self) -> None:
        """Wait for the devices."""
        for gpu in self._gpus:
            torch.cuda.synchronize(gpu)


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper one."""
    return [round(float(x), 4) for x in np.quantile(values, (0.25, 0.5, 0.75))]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median and what one in twenty is above; of nothing, not a number."""
    p50, p95 = np.quantile(values, (0.5, 0.95)) if len(values) else (np.nan, np.nan)
    return {'p50': round(float(p50), 5), 'p95': round(float(p95), 5)}
