# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The store of one stream: off until its folder is given; open while the node has a model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import json
import os
import pathlib
from typing import Any

import numpy as np
from rclpy.node import Node

from streamvlm_ros.distributions import listen_to_transforms
from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.interfaces.camera_input import image_topics
from streamvlm_ros.nodes.interfaces.submit import ParameterValue, Submit
from streamvlm_ros.nodes.parameters.save_paths import stream_folder
from streamvlm_ros.nodes.store.pose_input import PoseInput, TransformPoses
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.srv import Forget
from streamvlm_ros.stamps import to_nanoseconds
from streamvlm_ros.store.frames import FrameStore
from streamvlm_ros.store.messages import Topics
from streamvlm_ros.store.moments import Forgotten, Pose, StoredAnswer
from streamvlm_ros.store.poses import PoseSource
from streamvlm_ros.store.recorder import Recorder, StoreStatus
from streamvlm_ros.store.settings import StoreSettings

NO_STORE = 'This node has no store; start it with the parameter store_folder.'


class StreamStore:
    """Stores what a stream sees and answers, and offers `~/forget`."""

    def __init__(
        self,
        node: Node,
        submit: Submit,
        parameter: ParameterValue,
        faults: Faults,
        on_change: Callable[[], object],
    ) -> None:
        """Store nothing yet.

        Args:
            node: whose stream it is.
            submit: hands a request to the worker, and awaits its result.
            parameter: returns a parameter's value as it is now.
            faults: counts faults of the program.
            on_change: called, in any thread, when there is another fault of the disk.

        """
        self._node, self._submit, self._parameter = node, submit, parameter
        self._faults, self._on_change = faults, on_change
        self._worker: StreamWorker | None = None
        self._recorder: Recorder | None = None
        self._input: PoseInput | None = None
        self._source: PoseSource | None = None  # while the node is active
        self._without_tf = ''

    @property
    def status(self) -> StoreStatus:
        """What the store tells about itself."""
        return self._recorder.status() if self._recorder is not None else StoreStatus()

    @property
    def complaints(self) -> list[str]:
        """Sentences about what is wrong with it, with what to do."""
        source = self._input
        found = [self.status.error, source.complaint if source is not None else self._without_tf]
        return [each for each in found if each]

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of the service."""
        return [(Forget, '~/forget', self._forget)]

    def open(self, worker: StreamWorker) -> None:
        """Begin to store if there is a folder; waits for the worker."""
        folder = str(self._parameter('store_folder'))
        if not folder:
            return
        own = pathlib.Path(os.path.expanduser(stream_folder(folder, self._node.get_namespace())))
        pixels = int(self._parameter('store_max_pixels'))
        if not pixels:
            pixels = worker.call(lambda engine: engine.stream.pixels.max_pixels).result()
        name = self._node.get_fully_qualified_name()
        settings = StoreSettings(
            own,
            jpeg_quality=self._parameter('store_jpeg_quality'),
            max_bytes=self._parameter('store_max_bytes'),
            max_age=self._parameter('store_max_age'),
            max_pixels=pixels,
            still_seconds=self._parameter('store_still_seconds'),
            topics=Topics(
                image_topics(self._node)[1], f'{name}/stored_pose', f'{name}/stored_answers'
            ),
        )
        log = self._node.get_logger()
        self._recorder = Recorder(
            settings,
            poses=self,
            is_simulated=lambda: bool(self._node.get_parameter('use_sim_time').value),
            log=lambda text: log.warning(sentence(text)),
            on_change=self._on_change,
        )
        self._worker = worker
        source = FrameStore(own)

        def show(engine: VideoStreamingInference) -> None:
            engine.questions.views.store = source

        worker.call(show).result()
        log.info(f'Frames and answers are stored in {own}.')

    def close(self) -> None:
        """Write what waits and end the thread. May be called again."""
        recorder, self._recorder, self._worker = self._recorder, None, None
        if recorder is not None and not recorder.close():
            self._node.get_logger().warning('The disk of the store hangs; it is closed later.')

    def subscribe(self) -> None:
        """Take poses from now on, if the store is open; between two callbacks."""
        topic, frame = str(self._parameter('pose_topic')), str(self._parameter('map_frame'))
        if self._recorder is None or self._source is not None:
            return
        if topic:
            self._input = PoseInput(self._node, topic, self._parameter('pose_type'), self._faults)
            self._source = self._input.track
        elif frame:
            transforms = listen_to_transforms(self._node)
            if transforms is not None:
                self._source = TransformPoses(transforms, frame)
                return
            self._without_tf = (
                f'map_frame is {sentence(frame, 100)}, but tf2_ros is not installed (the wheels '
                'of PyPI have none): frames are stored without poses; give pose_topic instead.'
            )
            self._node.get_logger().warning(self._without_tf)

    def unsubscribe(self) -> None:
        """Take no more poses. May be called again."""
        if self._input is not None:
            self._input.close()
            self._input = self._source = None

    def covers(self, stamp_ns: int, frame_id: str) -> bool:
        """See `PoseSource`; called by the store's thread, as is `at`."""
        source = self._source
        return source is None or source.covers(stamp_ns, frame_id)

    def at(self, stamp_ns: int, frame_id: str) -> Pose | None:
        """See `PoseSource`."""
        source = self._source
        return None if source is None else source.at(stamp_ns, frame_id)

    def put(self, image: np.ndarray, stamp_ns: int, frame_id: str) -> None:
        """Store a frame that the worker got too; returns at once."""
        recorder, worker = self._recorder, self._worker
        if recorder is not None and worker is not None:
            recorder.put(image, stamp_ns, frame_id, worker.status().epoch)

    def put_answer(self, answer: AnswerMsg) -> None:
        """Store an answer; returns at once."""
        recorder = self._recorder
        if recorder is not None:
            recorder.put_answer(stored_answer(answer), answer.epoch)

    async def _forget(self, request: Forget.Request, response: Forget.Response) -> Forget.Response:
        try:
            forgotten = await self._submit(lambda worker: self._forgotten(request))
        except StreamError as error:
            return messages.fill_failure(response, error)
        self._node.get_logger().info(
            f'{forgotten.frames:,} frames and {forgotten.answers:,} answers were taken out of the '
            'store.'
        )
        return messages.fill_success(
            response,
            frames=forgotten.frames,
            answers=forgotten.answers,
            bytes=max(0, forgotten.bytes),
        )

    def _forgotten(self, request: Forget.Request) -> Future[Forgotten]:
        if self._recorder is None:
            raise StreamError(ErrorCode.INVALID_REQUEST, NO_STORE)
        return self._recorder.forget(to_nanoseconds(request.since), to_nanoseconds(request.until))


def stored_answer(answer: AnswerMsg) -> StoredAnswer:
    """Return an answer as it is stored: as JSON, with the frames that it saw."""
    newest = to_nanoseconds(answer.header.stamp)
    seen = [answer.oldest_stamp, answer.header.stamp]
    if answer.evidence.view:
        seen = [answer.evidence.first_stamp, answer.evidence.last_stamp]
    stamps = [stamp_ns for stamp_ns in map(to_nanoseconds, seen) if stamp_ns] or [newest]
    text = json.dumps(
        {
            'question': answer.question,
            'text': answer.text,
            'choice_index': answer.choice_index,
            'choice_probabilities': [round(p, 6) for p in answer.choice_probabilities],
            'frames': answer.frames,
            'epoch': answer.epoch,
            'frame_id': answer.header.frame_id,
            'view': answer.evidence.view,
        },
        ensure_ascii=False,
    )
    return StoredAnswer(text, min(stamps), max(stamps))
