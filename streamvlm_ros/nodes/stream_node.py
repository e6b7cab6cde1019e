# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node: its interfaces, its lifecycle, and what its parameters do while it runs.

No callback waits for the model. A service's callback is a coroutine that awaits the worker's
future, so one executor thread serves any number of open questions beside images and status, and
none of them can use up a pool of threads. Transitions run in the main thread (transitions.py), so
that loading a model keeps no callback waiting either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile

from streamvlm_ros.engine import free_device_memory, StreamError, StreamWorker
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.answer_action import AnswerAction
from streamvlm_ros.nodes.ask_services import AskServices
from streamvlm_ros.nodes.building import apply_settings, build_worker
from streamvlm_ros.nodes.camera_input import CameraInput
from streamvlm_ros.nodes.declare import declare_parameters
from streamvlm_ros.nodes.gate import Gate, MAX_PENDING
from streamvlm_ros.nodes.loading import pick_device
from streamvlm_ros.nodes.parameter import ParameterError
from streamvlm_ros.nodes.parameter_table import PARAMETERS
from streamvlm_ros.nodes.parameters import check_changes, check_values
from streamvlm_ros.nodes.reports import Condition, Reports
from streamvlm_ros.nodes.save_services import SaveServices
from streamvlm_ros.nodes.stream_services import StreamServices
from streamvlm_ros.nodes.transitions import call_in_executor, Transitions
from streamvlm_ros.nodes.watch_services import WatchServices

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# What a request is told outside of the state active, and /diagnostics shows.
UNCONFIGURED = 'The node has no model; configure and activate it (ros2 lifecycle set).'
LOADING = 'The model is still being loaded; ask again when ~/status says so.'
INACTIVE = 'The node is inactive; activate it (ros2 lifecycle set) and ask again.'
FINALIZED = 'The node was shut down; start it anew.'


class StreamNode(LifecycleNodeMixin, Node):
    """ROS node `streamvlm`, a lifecycle node.

    Attributes:
        autostart: whether it is to be configured and activated at the start.
        transitions: runs its transitions.

    """

    def __init__(self) -> None:
        """Create the interfaces, without the model.

        Raises:
            ParameterError: a parameter's value is refused.

        """
        Node.__init__(self, 'streamvlm')
        # Reentrant: a coroutine holds its group until it is done.
        group = ReentrantCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=group)
        values = declare_parameters(self)
        self.autostart = bool(values['autostart'])
        self._device = str(values['device'])
        self._worker: StreamWorker | None = None
        self._fault = ''
        self._changed = self.create_guard_condition(lambda: self._reports.publish_change())
        self.transitions = Transitions(
            self._service_change_state, self._changed.trigger, self.get_logger().error
        )
        self._gate = Gate(self._changed.trigger, self.get_logger().error)
        self._camera = CameraInput(self)
        answers = self.create_publisher(AnswerMsg, '~/answers', 10).publish
        self._action = AnswerAction(self, self._gate, self._parameter, answers)
        submit = self._gate.result
        self._watching = WatchServices(self, submit)
        # The default depth of 10 would lose replies where more come due at once, as by a time-out.
        depth = QoSProfile(depth=2 * MAX_PENDING)
        for kind, name, callback in (
            *AskServices(submit, self._parameter, answers).services(),
            *StreamServices(submit, self._changed.trigger).services(),
            *self._watching.services(),
            *SaveServices(submit, self._parameter).services(),
        ):
            self.create_service(kind, name, callback, qos_profile=depth, callback_group=group)
        self.add_on_set_parameters_callback(self._set_parameters)
        self._reports = Reports(self, self._condition)
        self._enter(LOADING if self.autostart else UNCONFIGURED)

    @property
    def open_requests(self) -> int:
        """Requests and goals that have no answer yet."""
        return max(self._gate.open_requests, self._action.unfinished)

    def start(self) -> bool:
        """Configure and activate the node; return whether it is active."""
        change = self.transitions.change
        return change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)

    def stop(self) -> None:
        """Stop the worker; questions still open are answered with NOT_ACTIVE."""
        if self._worker is not None:
            self._worker.stop()

    def leave(self) -> None:
        """Leave the graph, for good; no executor runs the node any more."""
        self._camera.close()
        self._action.destroy()
        self.destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; without it the node stays unconfigured and says why."""
        self._enter(LOADING)
        try:
            values = check_values({p.name: self._parameter(p.name) for p in PARAMETERS})
            self._device = pick_device(str(values['device']))
            self._worker = build_worker(
                values, self.get_logger().info, self._changed.trigger, self._watching.publish
            )
            # What may be set while the model loads had no worker to go to.
            apply_settings(self._worker, {p.name: self._parameter(p.name) for p in PARAMETERS})
        except Exception as error:
            expected = isinstance(error, (StreamError, OSError, ValueError))
            fault = ' '.join((str(error) if expected else repr(error)).split())
        else:
            self._enter(INACTIVE)
            return SUCCESS
        # Out of the except clause: the exception's trace holds what was loaded.
        self.get_logger().error(fault)
        self._free(fault)
        return FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and take questions."""
        worker = self._worker
        assert worker is not None
        transport = self._parameter('image_transport')
        try:
            topic = self._in_executor(lambda: self._camera.open(worker, transport))
        except Exception as error:  # QoS overrides that are no QoS, for instance
            self.get_logger().error(f'The images cannot be subscribed to: {error}')
            return FAILURE
        self._gate.open(worker)
        self._enter('')
        name = self.get_fully_qualified_name()
        self.get_logger().info(f'Ready: images from {topic}, questions to {name}/ask.')
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and end open questions; the memory stays."""
        self._halt(INACTIVE)
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the memory and the model."""
        self._free()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivate and cleanup do, for good."""
        self._halt(FINALIZED)
        self._free(idle=FINALIZED)
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything: the node can be configured again."""
        self._halt(UNCONFIGURED)
        self._free(self._fault)
        return SUCCESS

    def _in_executor(self, function: Callable[[], Any]) -> Any:
        assert self.executor is not None
        return call_in_executor(self.executor, function)

    def _enter(self, idle: str, fault: str = '') -> None:
        """Tell requests and reports in which state the node is; '' is active."""
        if idle:
            self._gate.close(idle)
        self._idle, self._fault = idle, fault
        self._changed.trigger()

    def _halt(self, idle: str) -> None:
        self._in_executor(self._camera.close)
        self._enter(idle)

    def _free(self, fault: str = '', idle: str = UNCONFIGURED) -> None:
        worker, self._worker = self._worker, None
        if worker is not None and not worker.stop():
            self.get_logger().warning('The model is still busy; its memory is freed afterwards.')
        del worker
        free_device_memory()
        self._enter(idle, fault)

    def _condition(self) -> Condition:
        worker = self._worker
        return Condition(
            worker.status() if worker is not None else None,
            self._device,
            self._idle,
            loading=self._idle is LOADING,
            fault=self._fault,
        )

    def _set_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        """Check what is to be set while the node runs, and hand on what concerns the worker."""
        current = {p.name: self._parameter(p.name) for p in PARAMETERS}
        changes = {parameter.name: parameter.value for parameter in parameters}
        configured = self._idle not in (UNCONFIGURED, FINALIZED)
        try:
            checked = check_changes(current, changes, configured=configured)
            if self._worker is not None:
                apply_settings(self._worker, checked)
        except (ParameterError, StreamError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _parameter(self, name: str) -> Any:
        return self.get_parameter(name).value
