# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What one stream offers on its node, and its way to its worker.

No callback waits for the model. A service's callback is a coroutine that awaits the worker's
future, so one executor thread serves any number of open questions beside images and status, and
none of them can use up a pool of threads.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from streamvlm_ros.engine import StreamWorker, WorkerStatus
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.answer_action import AnswerAction
from streamvlm_ros.nodes.ask_services import AskServices
from streamvlm_ros.nodes.camera_input import CameraInput
from streamvlm_ros.nodes.declare import DeclaredParameters
from streamvlm_ros.nodes.gate import Gate, MAX_PENDING
from streamvlm_ros.nodes.reports import Condition, Reports
from streamvlm_ros.nodes.save_paths import stream_folder
from streamvlm_ros.nodes.save_services import SaveServices
from streamvlm_ros.nodes.stream_services import StreamServices
from streamvlm_ros.nodes.watch_services import WatchServices


class StreamInterfaces:
    """The topics, services and action of one stream; closed until it is active.

    Attributes:
        node: on which they are.
        parameters: the stream's own.
        worker: who serves the stream; None: there is no model.
        publish_event: publishes a watch's event; any thread may call it.

    """

    def __init__(
        self,
        node: Node,
        parameters: DeclaredParameters,
        condition: Callable[[WorkerStatus | None], Condition],
    ) -> None:
        """Create them.

        Args:
            node: on which to create them.
            parameters: the stream's own.
            condition: says in which state the process is, to a stream's status.

        """
        self.node = node
        self.worker: StreamWorker | None = None
        self.parameters = parameters
        parameter = parameters.value
        self._changed = node.create_guard_condition(lambda: self._reports.publish_change())
        log = node.get_logger().error
        self._gate = Gate(self._changed.trigger, log)
        self._camera = CameraInput(node)
        answers = node.create_publisher(AnswerMsg, '~/answers', 10).publish
        self._action = AnswerAction(node, self._gate, parameter, answers)
        submit = self._gate.result
        watching = WatchServices(node, submit)
        self.publish_event = watching.publish
        # Reentrant: a coroutine holds its group until it is done.
        group = ReentrantCallbackGroup()
        # The default depth of 10 would lose replies where more come due at once, as by a time-out.
        depth = QoSProfile(depth=2 * MAX_PENDING)
        for kind, name, callback in (
            *AskServices(submit, parameter, answers).services(),
            *StreamServices(submit, self._changed.trigger).services(),
            *watching.services(),
            *SaveServices(submit, self._save_folder).services(),
        ):
            node.create_service(kind, name, callback, qos_profile=depth, callback_group=group)
        self._reports = Reports(node, lambda: condition(self._status()))

    @property
    def open_requests(self) -> int:
        """Requests and goals that have no answer yet."""
        return max(self._gate.open_requests, self._action.unfinished)

    def publish_change(self) -> None:
        """Publish the status soon, if it has changed in kind; any thread may call it."""
        self._changed.trigger()

    def subscribe(self) -> str:
        """Hand the camera's images to the worker from now on; return the topic's full name.

        Called between two callbacks, as is `unsubscribe`.
        """
        assert self.worker is not None
        return self._camera.open(self.worker, self.parameters.value('image_transport'))

    def unsubscribe(self) -> None:
        """Take no more images. May be called again."""
        self._camera.close()

    def open(self) -> None:
        """Take requests from now on."""
        assert self.worker is not None
        self._gate.open(self.worker)

    def close(self, why: str) -> None:
        """Refuse requests from now on, and end those that are open."""
        self._gate.close(why)

    def destroy(self) -> None:
        """Take out of the graph what the node does not take out itself; end its threads."""
        self._camera.close()
        self._action.destroy()

    def _status(self) -> WorkerStatus | None:
        worker = self.worker
        return worker.status() if worker is not None else None

    def _save_folder(self) -> str:
        return stream_folder(self.parameters.value('save_folder'), self.node.get_namespace())
