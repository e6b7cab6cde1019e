# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The part of `benchmark.node.gpu` that is in the ROS graph: follows the status, and asks."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile

from benchmark.common.timing import percentiles
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.srv import Ask
from streamvlm_ros.stamps import to_nanoseconds


@dataclasses.dataclass
class Phase:
    """What was seen while the node was watched for a while."""

    began: float = dataclasses.field(default_factory=time.time)
    ended: float = 0.0
    statuses: list[Any] = dataclasses.field(default_factory=list)
    behind: list[float] = dataclasses.field(default_factory=list)
    answers: list[tuple[float, float, Any]] = dataclasses.field(default_factory=list)

    def summarize(self, ages: list[tuple[float, float]]) -> dict[str, Any]:
        """Return the figures; `ages` are all frames', with the time at which each was noted."""
        mine = [age for when, age in ages if self.began <= when <= self.ended]
        first, last = self.statuses[0], self.statuses[-1]
        answers = [answer for _, _, answer in self.answers]
        asked = {
            'first_token_s': percentiles([a.time_to_first_token for a in answers]),
            'asked_to_response_s': percentiles([took for took, _, _ in self.answers]),
            'newest_frame_seen_s': percentiles([age for _, age, _ in self.answers]),
        }
        return {
            'seconds': round(self.ended - self.began, 2),
            'age_of_every_frame_s': percentiles(mine) | {'worst': max(mine, default=0.0)},
            'frames': len(mine),
            'status_frame_age_s': percentiles([s.frame_age for s in self.statuses]),
            'statuses': len(self.statuses),
            'newest_stamp_behind_status_s': percentiles(self.behind),
            'dropped': last.frames_dropped - first.frames_dropped,
            'failed': last.frames_failed - first.frames_failed,
            'ingested': last.frames_ingested - first.frames_ingested,
            'answers': len(answers),
            **(asked if answers else {}),
        }


class Watcher:
    """A client of the node."""

    def __init__(self, node_name: str) -> None:
        """Join the graph."""
        rclpy.init()
        self._node = rclpy.create_node('benchmark_watcher')
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(StreamStatus, f'{node_name}/status', self._take, latched)
        self._client: Any = self._node.create_client(Ask, f'{node_name}/ask')
        self._phase = Phase()

    def wait_for(self, states: tuple[int, ...], seconds: float) -> Any:
        """Return the first status in one of the states; raise TimeoutError."""
        until = time.time() + seconds
        while time.time() < until:
            rclpy.spin_once(self._node, timeout_sec=0.5)
            if self._phase.statuses and self._phase.statuses[-1].state in states:
                return self._phase.statuses[-1]
            if self._phase.statuses and self._phase.statuses[-1].last_error:
                raise RuntimeError(self._phase.statuses[-1].last_error)
        raise TimeoutError(f'The node was not in {states} within {seconds:g} s.')

    def watch(self, seconds: float, question: str = '', max_new_tokens: int = 64) -> Phase:
        """Follow the status for so long, and ask back to back if there is a question."""
        self._phase = Phase()
        until = self._phase.began + seconds
        asked: Any = None
        while time.time() < until or asked is not None:
            if asked is None and question and time.time() < until:
                began = time.time()
                asked = self._client.call_async(
                    Ask.Request(question=question, max_new_tokens=max_new_tokens)
                )
            rclpy.spin_once(self._node, timeout_sec=0.05)
            if asked is not None and asked.done():
                response, asked = asked.result(), None
                if not response.success:
                    raise RuntimeError(response.error_msg)
                answer = response.answer
                seen = began - to_nanoseconds(answer.header.stamp) / 1e9
                self._phase.answers.append((time.time() - began, seen, answer))
        self._phase.ended = time.time()
        return self._phase

    def leave(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()
        rclpy.shutdown()

    def _take(self, status: Any) -> None:
        self._phase.statuses.append(status)
        stamp = to_nanoseconds(status.header.stamp)
        if stamp:
            self._phase.behind.append(time.time() - stamp / 1e9)
