# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A launch that brings a fake node up, prints its transitions, and ends: for test_bring_up.py."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import Shutdown
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import StateTransition

from streamvlm_ros.launching.lifecycle import bring_up


def describe(outcome: str) -> LaunchDescription:
    fake = pathlib.Path(__file__).with_name('lifecycle_fake.py')
    node = LifecycleNode(
        executable=sys.executable, arguments=[str(fake), outcome], name='streamvlm', namespace='ns'
    )
    end = EmitEvent(event=Shutdown(reason='it is as it should be'))

    def tell(context: LaunchContext) -> list[Any]:
        event = context.locals.event
        print(f'{event.start_state} > {event.goal_state}', flush=True)
        return [end] if event.goal_state == 'active' else []

    def refused(context: LaunchContext) -> list[Any]:
        print('refused', flush=True)
        return [end]

    teller = OnStateTransition(
        matcher=lambda event: isinstance(event, StateTransition),
        entities=[OpaqueFunction(function=tell)],
    )
    return LaunchDescription(
        [RegisterEventHandler(teller), *bring_up(node, [OpaqueFunction(function=refused)])]
    )


if __name__ == '__main__':
    service = LaunchService()
    service.include_launch_description(describe(sys.argv[1]))
    sys.exit(service.run())
