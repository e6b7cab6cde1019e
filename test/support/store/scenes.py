# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames for tests of the store, and a store that was filled with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import pathlib
import time
from typing import Any

import numpy as np

from streamvlm_ros.store.recorder import Recorder, StoreStatus
from streamvlm_ros.store.settings import StoreSettings

STEP = 500_000_000  # nanoseconds between two frames
START = 1_700_000_000_000_000_000
PATIENCE = 60.0


def picture(number: int, size: int = 96) -> np.ndarray:
    """A frame that shows which one it is: a colour, and noise that makes its JPEG unique."""
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 60, (size, size, 3), np.uint8)
    return noise + np.array([number * 37 % 190, number * 71 % 190, number * 113 % 190], np.uint8)


def shown(image: np.ndarray) -> np.ndarray:
    """What distinguishes the pictures: the mean colour."""
    return image.reshape(-1, 3).mean(0)


def stamp(number: int) -> int:
    return START + number * STEP


def settings(folder: pathlib.Path, **changed: Any) -> StoreSettings:
    return StoreSettings(folder, **{'still_seconds': 0.0, 'jpeg_quality': 95, **changed})


def wait(
    recorder: Recorder, done: Callable[[StoreStatus], bool] = lambda status: not status.waiting
) -> StoreStatus:
    """Wait until what was handed in is written, or something else is so."""
    deadline = time.monotonic() + PATIENCE
    while not done(status := recorder.status()):
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
    return status


def fill(
    folder: pathlib.Path,
    numbers: Iterable[int],
    epoch: int = 0,
    size: int = 96,
    **changed: Any,
) -> StoreStatus:
    """Store frames and close the store."""
    recorder = Recorder(settings(folder, **changed))
    for number in numbers:
        recorder.put(picture(number, size), stamp(number), 'camera', epoch)
        wait(recorder, lambda status: status.waiting < 32)
    assert recorder.close()
    status = recorder.status()
    assert not status.error and not status.dropped, status
    return status
