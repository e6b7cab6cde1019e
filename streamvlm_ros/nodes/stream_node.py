# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node: images and questions to the worker, answers and status to the graph."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future as ConcurrentFuture
import math
from typing import Any, TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from streamvlm_ros.engine import Answer, ErrorCode, StreamError, StreamWorker
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.nodes import messages
from streamvlm_ros.nodes.declare import declare_parameters
from streamvlm_ros.nodes.images import decode_image, ImageError
from streamvlm_ros.nodes.loading import load_engine
from streamvlm_ros.nodes.stamps import to_nanoseconds
from streamvlm_ros.srv import Ask, AskChoice

STATUS_PERIOD = 1.0  # seconds
MAX_PENDING = 32  # questions; more than that would only wait for their time-outs
T = TypeVar('T')


class StreamNode(Node):
    """ROS node `streamvlm`.

    No callback waits for the model. A service's callback is a coroutine that awaits the worker's
    future, so one executor thread serves any number of open questions beside images and status,
    and none of them can use up a pool of threads. This works the same in every rclpy since Humble:
    the future is completed in the worker's thread and a guard condition then wakes the executor.
    """

    def __init__(self) -> None:
        """Create the interfaces, without the model.

        Raises:
            ParameterError: a parameter's value is refused.

        """
        super().__init__('streamvlm')
        self.open_requests = 0
        self._values = declare_parameters(self)
        self._worker: StreamWorker | None = None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._status = self.create_publisher(StreamStatus, '~/status', latched)
        self._answers = self.create_publisher(AnswerMsg, '~/answers', 10)
        self._published = (0, -1, '')
        # Reentrant: a coroutine holds its group until it is done.
        group = ReentrantCallbackGroup()
        # The default depth of 10 would lose replies where more come due at once, as by a time-out.
        depth = QoSProfile(depth=2 * MAX_PENDING)
        for kind, name, callback in (
            (Ask, '~/ask', self._ask),
            (AskChoice, '~/ask_choice', self._ask_choice),
            (Trigger, '~/reset', self._reset),
        ):
            self.create_service(kind, name, callback, qos_profile=depth, callback_group=group)
        # Steady: the status goes on while simulated time stands still.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(STATUS_PERIOD, self._publish_status, clock=clock)
        self._changed = self.create_guard_condition(self._publish_change)
        self._publish_status()

    def start(self) -> None:
        """Load the model, start the worker and subscribe; takes seconds to minutes.

        Raises:
            StreamError, OSError, ValueError: as `load_engine`.

        """
        engine = load_engine(self._values, self.get_logger().info)
        worker = StreamWorker(
            engine, queue_frames=self._values['queue_frames'], on_change=self._changed.trigger
        )
        worker.start()
        self._worker = worker
        self._changed.trigger()
        # Only now: images that come while the model loads would fill the queue with the past.
        subscription = self.create_subscription(
            Image,
            'image',
            self._take_image,
            qos_profile_sensor_data,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        name = self.get_fully_qualified_name()
        self.get_logger().info(
            f'Ready: images from {subscription.topic_name}, questions to {name}/ask.'
        )

    def stop(self) -> None:
        """Stop the worker; questions still open are answered with NOT_ACTIVE."""
        if self._worker is not None:
            self._worker.stop()

    def _take_image(self, msg: Image) -> None:
        assert self._worker is not None
        try:
            frame = decode_image(msg)
        except ImageError as error:
            self._worker.count_failed(str(error))
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        stamp_ns = to_nanoseconds(msg.header.stamp)
        self._worker.submit_frame(frame, stamp_ns, msg.header.frame_id)

    async def _ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        def submit(worker: StreamWorker) -> ConcurrentFuture[Answer]:
            return worker.ask(
                request.question,
                max_new_tokens=request.max_new_tokens or self._parameter('max_new_tokens'),
                update_state=request.update_state,
                after_ns=to_nanoseconds(request.after),
                timeout=self._timeout(request.timeout),
            )

        return await self._answer(response, submit)

    async def _ask_choice(
        self, request: AskChoice.Request, response: AskChoice.Response
    ) -> AskChoice.Response:
        def submit(worker: StreamWorker) -> ConcurrentFuture[Answer]:
            return worker.ask_choice(
                request.question,
                request.choices,
                after_ns=to_nanoseconds(request.after),
                timeout=self._timeout(request.timeout),
            )

        return await self._answer(response, submit)

    async def _answer(
        self,
        response: messages.Response,
        submit: Callable[[StreamWorker], ConcurrentFuture[Answer]],
    ) -> messages.Response:
        try:
            answer = messages.answer_message(await self._result(submit))
        except StreamError as error:
            return messages.fill_failure(response, error)
        self._answers.publish(answer)
        return messages.fill_success(response, answer)

    async def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            await self._result(StreamWorker.reset)
        except StreamError as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = 'The stream was emptied; a new epoch has begun.'
        return response

    async def _result(self, submit: Callable[[StreamWorker], ConcurrentFuture[T]]) -> T:
        """Hand a request to the worker and await its result.

        Raises:
            StreamError: the request's fault, whatever it was.

        """
        if self._worker is None:
            raise StreamError(
                ErrorCode.NOT_ACTIVE,
                'The model is still being loaded; ask again when ~/status says so.',
            )
        if self.open_requests >= MAX_PENDING:
            raise StreamError(
                ErrorCode.BUSY, f'{MAX_PENDING} requests are waiting already; ask again later.'
            )
        self.open_requests += 1
        try:
            future = submit(self._worker)
            done: Future[None] = Future()

            def wake(_: ConcurrentFuture[T]) -> None:
                done.set_result(None)
                self._changed.trigger()

            future.add_done_callback(wake)
            await done
            return future.result()
        except StreamError:
            raise
        except Exception as error:
            self.get_logger().error(f'A request failed: {error!r}')
            raise StreamError(ErrorCode.INTERNAL, f'{type(error).__name__}: {error}') from error
        finally:
            self.open_requests -= 1

    def _timeout(self, seconds: float) -> float:
        if not (math.isfinite(seconds) and seconds >= 0.0):
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The timeout of {seconds:g} s is no duration; give 0 for the default or more.',
            )
        return float(seconds or self._parameter('request_timeout'))

    def _parameter(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _message(self) -> StreamStatus:
        if self._worker is None:
            return messages.loading_status()
        return messages.status_message(self._worker.status())

    def _publish_status(self) -> None:
        message = self._message()
        self._published = (message.state, message.epoch, message.last_error)
        self._status.publish(message)

    def _publish_change(self) -> None:
        message = self._message()
        if (message.state, message.epoch, message.last_error) != self._published:
            self._publish_status()
