# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A load on a worker: frames at a fixed rate, and askers that ask again once answered."""

from __future__ import annotations

from collections.abc import Sequence
import threading
import time
from typing import Any

import numpy as np

from streamvlm_ros.engine import StreamWorker, WorkerStatus
from streamvlm_ros.stamps import NANOSECONDS


def balanced(status: WorkerStatus) -> bool:
    """Tell whether every frame received is accounted for."""
    return status.frames_received == (
        status.frames_sampled_out
        + status.frames_ingested
        + status.frames_dropped
        + status.frames_failed
        + status.frames_late
        + status.frames_waiting
    )


class Load:
    """Frames at a fixed rate and askers that ask again as soon as they are answered.

    Attributes:
        answers: seconds from asking to the answer, and the answer.
        submitted: frames handed in.
        newest_ns: stamp of the newest of them.

    """

    def __init__(
        self,
        worker: StreamWorker,
        clip: Sequence[np.ndarray],
        rate: float,
        askers: int,
        max_new_tokens: int,
        newest_ns: int = 0,
    ) -> None:
        """Prepare the threads; the frames' stamps continue from `newest_ns`."""
        self.answers: list[tuple[float, Any]] = []
        self.submitted = 0
        self.newest_ns = newest_ns
        self._worker, self._clip, self._rate = worker, clip, rate
        self._max_new_tokens = max_new_tokens
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._feed),
            *(threading.Thread(target=self._ask) for _ in range(askers)),
        ]

    def run(self, seconds: float) -> list[WorkerStatus]:
        """Run for so long; return the status, taken many times."""
        for thread in self._threads:
            thread.start()
        statuses = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            statuses.append(self._worker.status())
            time.sleep(0.02)
        self._over.set()
        for thread in self._threads:
            thread.join()
        return statuses

    def _feed(self) -> None:
        began = time.perf_counter()
        while not self._over.is_set():
            due = int((time.perf_counter() - began) * self._rate) + 1
            while self.submitted < due:
                self.newest_ns += round(NANOSECONDS / self._rate)
                self._worker.submit_frame(
                    self._clip[self.submitted % len(self._clip)], self.newest_ns
                )
                self.submitted += 1
            time.sleep(0.2 / self._rate)

    def _ask(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            answer = self._worker.ask(
                'What is happening in the scene now?',
                after_ns=1,
                max_new_tokens=self._max_new_tokens,
            ).result()
            self.answers.append((time.perf_counter() - began, answer))
