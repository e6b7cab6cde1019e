# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Header stamps as integers. No ROS is needed: a bag's stamps have the same fields as rclpy's."""

from __future__ import annotations

from typing import Any

NANOSECONDS = 1_000_000_000


def to_nanoseconds(stamp: Any) -> int:
    """Return a message's time, with `sec` and `nanosec`, as integer nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)
