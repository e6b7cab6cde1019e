# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node without a model, for the tests: `success`, `failure` or `error` configures."""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class Fake(LifecycleNode):
    """Configures as the command line says."""

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        return getattr(TransitionCallbackReturn, sys.argv[1].upper())


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(Fake('streamvlm'))
    except (KeyboardInterrupt, ExternalShutdownException):
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
