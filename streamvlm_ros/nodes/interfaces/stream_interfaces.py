# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What one stream offers on its node, and its way to its worker.

No callback waits for the model. A service's callback is a coroutine that awaits the worker's
future, so one executor thread serves any number of open questions beside images and status, and
none of them can exhaust a pool of threads.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses

from rclpy.callback_groups import ReentrantCallbackGroup

from streamvlm_ros.engine import StreamWorker, WorkerStatus
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces.answer_action import AnswerAction
from streamvlm_ros.nodes.interfaces.ask_services import AskServices
from streamvlm_ros.nodes.interfaces.camera_input import CameraInput
from streamvlm_ros.nodes.interfaces.gate import Gate
from streamvlm_ros.nodes.interfaces.pictures import Pictures
from streamvlm_ros.nodes.interfaces.save_services import SaveServices
from streamvlm_ros.nodes.interfaces.stream_services import StreamServices
from streamvlm_ros.nodes.interfaces.watch_services import WatchServices
from streamvlm_ros.nodes.parameters.declare import DeclaredParameters
from streamvlm_ros.nodes.reports import Condition, Reports
from streamvlm_ros.nodes.serving_node import ServingNode
from streamvlm_ros.nodes.store.stream_store import StreamStore


class StreamInterfaces:
    """The topics, services and action of one stream; closed until it is active.

    Attributes:
        node: on which they are.
        parameters: the stream's own.
        worker: serves the stream; None: no model is loaded.
        publish_event: publishes a watch's event; any thread may call it, and it raises nothing.
        publish_change: publishes the status soon, if it has changed in kind; as `publish_event`.

    """

    def __init__(
        self,
        node: ServingNode,
        parameters: DeclaredParameters,
        condition: Callable[[WorkerStatus | None], Condition],
        faults: Faults,
    ) -> None:
        """Create them.

        Args:
            node: on which to create them.
            parameters: the stream's own.
            condition: says in which state the process is, to a stream's status.
            faults: counts those of the callbacks.

        """
        self.node = node
        self.worker: StreamWorker | None = None
        self.parameters = parameters
        parameter = parameters.value
        self._faults, self._process = faults, condition
        changed = node.create_guard_condition(
            faults.shield(lambda: self._reports.publish_change(), 'Publishing the status')
        )
        self.publish_change = faults.shield(changed.trigger, 'Waking the node')
        gate = self._gate = Gate(self.publish_change, faults)
        questions = gate.places()
        self._camera = CameraInput(node, faults)
        publisher = node.create_publisher(AnswerMsg, '~/answers', 10)
        self._store = StreamStore(
            node, gate.places().result, parameter, faults, self.publish_change
        )

        def publish(answer: AnswerMsg) -> None:
            publisher.publish(answer)
            self._store.put_answer(answer)

        answers = faults.shield(publish, 'Publishing an answer')
        pictures = self._pictures = Pictures(self.publish_change)
        self._action = AnswerAction(node, questions, parameter, answers, pictures, faults)
        watching = WatchServices(node, gate, parameter, faults)
        self.publish_event = watching.publish
        self._saves = SaveServices(
            gate.places().result, parameter, node.get_namespace(), node.get_logger()
        )
        # Reentrant: a coroutine holds its group until it is done.
        group = ReentrantCallbackGroup()
        for kind, name, callback in (
            *AskServices(node, questions.result, parameter, answers, pictures).services(),
            *StreamServices(node, gate, self.publish_change).services(),
            *watching.services(),
            *self._saves.services(),
            *self._store.services(),
        ):
            node.create_service(kind, name, callback, callback_group=group)
        self._reports = Reports(node, self._condition, faults)

    @property
    def open_requests(self) -> int:
        """Requests and goals that have no answer yet."""
        return max(self._gate.open_requests, self._action.unfinished)

    @property
    def delivery(self) -> str:
        """How the images are subscribed to: reliable or best effort."""
        return self._camera.delivery

    def subscribe(self) -> str:
        """Hand the camera's images to the worker from now on; return the topic's full name.

        Called between two callbacks, as is `unsubscribe`.
        """
        assert self.worker is not None
        self._store.subscribe()
        return self._camera.open(self.worker, self.parameters.value, self._store.put)

    def open_store(self) -> None:
        """Begin to store frames, if a parameter says where; raises as `StreamStore.open`."""
        assert self.worker is not None
        self._store.open(self.worker)

    def close_store(self) -> None:
        """Complete the store. May be called again."""
        self._store.close()

    def load_at_start(self) -> None:
        """Load the saved stream that a parameter names, if it names one; waits for it."""
        assert self.worker is not None
        self._saves.load_at_start(self.worker)

    def unsubscribe(self) -> None:
        """Take no more images. May be called again."""
        self._camera.close()
        self._store.unsubscribe()

    def open(self) -> None:
        """Take requests from now on."""
        assert self.worker is not None
        self._gate.open(self.worker)

    def close(self, why: str) -> None:
        """Refuse requests from now on, and end those that are open."""
        self._gate.close(why)

    def destroy(self) -> None:
        """Remove what the node does not remove from the graph itself; end its threads."""
        self.unsubscribe()
        self._store.close()
        self._action.destroy()
        self._pictures.close()

    def _condition(self) -> Condition:
        worker = self.worker
        status = self._faults.in_status(worker.status()) if worker is not None else None
        losses, complaints = self._camera.losses()
        return dataclasses.replace(
            self._process(status),
            topic=self._camera.topic,
            publishers=self._camera.publishers,
            delivery=self._camera.delivery,
            losses=losses,
            complaints=[*complaints, *self._store.complaints],
            store=self._store.status,
        )
