# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process's node: its lifecycle, its parameters, and the streams of its cameras.

A process has one stream, whose interfaces are on this node, or with the parameter `cameras` one
for each name, on a node in that namespace; all of them share one model. Transitions are those of
the process and run in the main thread (transitions.py), so that loading a model keeps no callback
waiting; nor does anything else (stream_interfaces.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lifecycle_msgs.msg import Transition
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from streamvlm_ros.engine import free_device_memory, pick_device, StreamError, WorkerStatus
from streamvlm_ros.nodes.building import apply_settings, build_workers, StreamPlan
from streamvlm_ros.nodes.camera_node import camera_node, camera_values
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.image_qos import override_name, POLICIES
from streamvlm_ros.nodes.interfaces.answered import answer_always
from streamvlm_ros.nodes.interfaces.camera_input import image_topics
from streamvlm_ros.nodes.interfaces.stream_interfaces import StreamInterfaces
from streamvlm_ros.nodes.loading import limits_of_model
from streamvlm_ros.nodes.parameters.camera_names import parse_names
from streamvlm_ros.nodes.parameters.declare import DeclaredParameters, given_parameters, overrides
from streamvlm_ros.nodes.parameters.parameters import check_values
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.nodes.parameters.unmatched import unmatched_parameters
from streamvlm_ros.nodes.reports import Condition
from streamvlm_ros.nodes.serving_node import ServingNode
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.nodes.transitions import call_in_executor, Transitions

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# The answer to requests outside of the state active; /diagnostics shows it too.
UNCONFIGURED = 'The node has no model; configure and activate it (ros2 lifecycle set).'
LOADING = 'The model is still being loaded; ask again when ~/status says so.'
INACTIVE = 'The node is inactive; activate it (ros2 lifecycle set) and ask again.'
FINALIZED = 'The node was shut down; start it again.'
LONGEST_FAULT = 8192  # characters in the log


class StreamNode(LifecycleNodeMixin, ServingNode):
    """ROS node `streamvlm`, a lifecycle node.

    Attributes:
        nodes: itself, and the nodes of its cameras.
        autostart: whether it is to be configured and activated at the start.
        transitions: runs its transitions.
        faults: those of the callbacks of the process.

    """

    def __init__(self) -> None:
        """Create the interfaces, without the model.

        Raises:
            ParameterError: a parameter's value is refused.

        """
        ServingNode.__init__(self, 'streamvlm')  # type: ignore[call-arg]
        # Reentrant: the coroutine of a transition holds its group until it is done.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        values = check_values(given_parameters(self, {}))
        self.autostart = bool(values['autostart'])
        self._device = str(values['device'])
        self._idle, self._fault = LOADING if self.autostart else UNCONFIGURED, ''
        self.faults = Faults(self.get_logger().error)
        wake = self.create_guard_condition(lambda: None).trigger
        self.transitions = Transitions(self._service_change_state, wake, self.get_logger().error)
        self._streams: list[StreamInterfaces] = []
        self.nodes: list[Node] = [self]
        caught: dict[Node, Faults] = {self: self.faults}
        names = parse_names(str(values['cameras']))
        self._process = self._declare(self, values, is_process=True, is_stream=not names)
        if not names:
            self._streams.append(
                StreamInterfaces(self, self._process, self._condition, self.faults)
            )
        for name in names:
            node = camera_node(self, name)
            self.nodes.append(node)
            own = self._declare(
                node, camera_values(node, values), is_process=False, is_stream=True
            )
            caught[node] = Faults(node.get_logger().error)
            self._streams.append(StreamInterfaces(node, own, self._condition, caught[node]))
        for served, faults in caught.items():
            for service in served.services:  # rclpy's own too
                answer_always(service, faults)
        self._warn_of_unmatched()
        self._enter(self._idle)

    @property
    def open_requests(self) -> int:
        """Requests and goals that have no answer yet."""
        return sum(stream.open_requests for stream in self._streams)

    def start(self) -> bool:
        """Configure and activate the node; return whether it is active."""
        change = self.transitions.change
        return change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)

    def stop(self) -> None:
        """Stop the worker; questions still open are answered with NOT_ACTIVE."""
        self._stop_thread()

    def leave(self) -> None:
        """Leave the graph; no executor runs the node any more."""
        for stream in self._streams:
            stream.destroy()
        for node in reversed(self.nodes):
            node.destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; without it the node stays unconfigured and says why."""
        self._enter(LOADING)
        try:
            self._build()
        except Exception as error:
            expected = isinstance(error, (StreamError, OSError, ValueError))
            # A model's path and files are texts of unknown origin.
            fault = sentence(str(error) if expected else repr(error), LONGEST_FAULT)
        else:
            self._enter(INACTIVE)
            return SUCCESS
        # Out of the except clause: the exception's trace holds what was loaded.
        self.get_logger().error(fault)
        self._free(fault)
        return FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and take questions."""
        try:
            topics = self._in_executor(lambda: [each.subscribe() for each in self._streams])
        except Exception as error:  # impossible QoS overrides, for instance
            self.get_logger().error(
                sentence(f'The images cannot be subscribed to: {error}', LONGEST_FAULT)
            )
            self._in_executor(self._unsubscribe)
            return FAILURE
        for stream in self._streams:
            stream.open()
        self._enter('')
        for stream, topic in zip(self._streams, topics):
            name = stream.node.get_fully_qualified_name()
            self.get_logger().info(
                f'Ready: images from {topic} ({stream.delivery}), questions to {name}/ask.'
            )
        limits = limits_of_model(str(self._process.value('model')))
        if limits:
            self.get_logger().info(limits)
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and end open questions; the memory stays."""
        self._halt(INACTIVE)
        self.get_logger().info(
            'Deactivated: no images and no questions are taken; the memory is kept.'
        )
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the memory and the model."""
        self._free()
        self.get_logger().info('Cleaned up: the model and the memory are freed.')
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivate and cleanup do, finally."""
        self._halt(FINALIZED)
        self._free(idle=FINALIZED)
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything: the node can be configured again."""
        self._halt(UNCONFIGURED)
        self._free(self._fault)
        return SUCCESS

    def _build(self) -> None:
        """Load the model and give every stream its worker; raises as `build_workers`."""
        self._device = pick_device(str(self._process.value('device')))
        plans = [
            StreamPlan(
                self._values(each),
                each.node.get_logger().error,
                each.publish_change,
                each.publish_event,
            )
            for each in self._streams
        ]
        for stream, worker in zip(self._streams, build_workers(plans, self.get_logger().info)):
            stream.worker = worker
            # Parameters that were set while the model loaded had no worker yet.
            apply_settings(worker, self._values(stream))
            stream.open_store()
            stream.load_at_start()

    def _declare(
        self, node: ServingNode, values: Mapping[str, Any], *, is_process: bool, is_stream: bool
    ) -> DeclaredParameters:
        """Declare the process's parameters on a node, a stream's, or both."""
        parameters = [p for p in PARAMETERS if (is_process if p.shared else is_stream)]

        def apply(changes: Mapping[str, Any]) -> None:
            for stream in self._streams:
                if stream.worker is not None and (is_process or stream.node is node):
                    apply_settings(stream.worker, changes)

        return DeclaredParameters(node, parameters, values, self._is_configured, apply)

    def _warn_of_unmatched(self) -> None:
        """Warn about given parameters that no node of the process has."""
        known = {parameter.name for parameter in PARAMETERS}
        given: set[str] = set()
        for node in self.nodes:
            given |= overrides(node).keys()
            known |= set(node.list_parameters([], 0).names)
            known |= {
                override_name(topic, policy) for topic in image_topics(node) for policy in POLICIES
            }
        for fault in unmatched_parameters(given, known):
            self.get_logger().warning(fault)

    def _values(self, stream: StreamInterfaces) -> dict[str, Any]:
        """Return the checked parameters of a stream: its own, and those of the process."""
        return check_values({**self._process.values(), **stream.parameters.values()})

    def _is_configured(self) -> bool:
        return self._idle not in (UNCONFIGURED, FINALIZED)

    def _stop_thread(self) -> bool:
        """Stop the thread of the model, if there is one; return whether it has ended."""
        # All workers are served by one thread, and each of them stops it.
        workers = [stream.worker for stream in self._streams if stream.worker is not None]
        return not workers or workers[0].stop()

    def _in_executor(self, function: Callable[[], Any]) -> Any:
        assert self.executor is not None
        return call_in_executor(self.executor, function)

    def _unsubscribe(self) -> None:
        for stream in self._streams:
            stream.unsubscribe()

    def _enter(self, idle: str, fault: str = '') -> None:
        """Tell requests and reports in which state the node is; '' is active."""
        for stream in self._streams if idle else ():
            stream.close(idle)
        self._idle, self._fault = idle, fault
        for stream in self._streams:
            stream.publish_change()

    def _halt(self, idle: str) -> None:
        self._in_executor(self._unsubscribe)
        self._enter(idle)

    def _free(self, fault: str = '', idle: str = UNCONFIGURED) -> None:
        if not self._stop_thread():
            self.get_logger().warning('The model is still busy; its memory is freed afterwards.')
        for stream in self._streams:
            stream.close_store()
            stream.worker = None
        free_device_memory()
        self._enter(idle, fault)

    def _condition(self, status: WorkerStatus | None) -> Condition:
        return Condition(
            status,
            self._device,
            self._idle,
            loading=self._idle is LOADING,
            fault=self._fault,
            watchdog=float(self._process.value('watchdog')),
        )
