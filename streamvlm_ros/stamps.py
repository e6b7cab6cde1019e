# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Header stamps as integers. No ROS is needed: a bag's stamps have the same fields as rclpy's."""

from __future__ import annotations

from typing import Any

NANOSECONDS = 10**9
LAST_STAMP = 2**31 * NANOSECONDS - 1  # the seconds of a ROS time are an int32


def to_nanoseconds(stamp: Any) -> int:
    """Return a message's time, with `sec` and `nanosec`, as integer nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def to_seconds(stamp: Any) -> float:
    """Return a message's time, with `sec` and `nanosec`, in seconds."""
    return stamp.sec + stamp.nanosec / NANOSECONDS
