# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Starts a lifecycle node and brings it up, in every launch_ros (see distributions.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from launch import Event, LaunchContext
from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import matches_action
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState, StateTransition
from lifecycle_msgs.msg import Transition


def bring_up(
    node: LifecycleNode,
    if_refused: Sequence[Any] = (),
    when_configured: Callable[[], object] = bool,
) -> list[Any]:
    """Return the actions that start a node, configure it and, if that succeeds, activate it.

    A node that cannot be configured stays as it is; it and launch_ros both log it. Activated is
    once only: a node that is configured again later is not activated by this.

    Args:
        node: it has not been started.
        if_refused: actions to run when it cannot be configured.
        when_configured: called when it has been configured for the first time.
    """

    def note(context: LaunchContext) -> None:
        when_configured()

    activate_once = OnStateTransition(
        target_lifecycle_node=node,
        start_state='configuring',
        goal_state='inactive',
        entities=[
            OpaqueFunction(function=note),
            _change_state(node, Transition.TRANSITION_ACTIVATE),
        ],
        handle_once=True,
    )

    def is_refusal(event: Event) -> bool:
        # After a failed configure, or after the error handling of one that raised.
        return (
            isinstance(event, StateTransition)
            and event.action is node
            and event.start_state in ('configuring', 'errorprocessing')
            and event.goal_state in ('unconfigured', 'finalized')
        )

    refused = OnStateTransition(matcher=is_refusal, entities=list(if_refused))
    # In this order: the handlers must be there before the node, and the node before the event.
    return [
        RegisterEventHandler(activate_once),
        RegisterEventHandler(refused),
        node,
        _change_state(node, Transition.TRANSITION_CONFIGURE),
    ]


def _change_state(node: LifecycleNode, transition: int) -> EmitEvent:
    """Return the action that asks a node for a transition, as soon as it serves it."""
    return EmitEvent(
        event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    )
