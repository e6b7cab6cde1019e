# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's results as messages, and back: pure functions."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from streamvlm_ros.engine import Answer, StreamError, Watch, WatchEvent, WorkerStatus
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.msg import Evidence as EvidenceMsg
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.msg import Watch as WatchMsg
from streamvlm_ros.msg import WatchEvent as WatchEventMsg
from streamvlm_ros.nodes.texts import MOST_FRAME_ID, sentence
from streamvlm_ros.stamps import LAST_STAMP, NANOSECONDS
from streamvlm_ros.store.recorder import StoreStatus
from streamvlm_ros.view import Evidence

# The response of any service of the node: success, error_code, error_msg, and what it carries.
Response = TypeVar('Response', bound=Any)
Message = TypeVar('Message', bound=Any)

_LARGEST_FLOAT32 = (2 - 2.0**-23) * 2.0**127
_RANGES: dict[str, tuple[float, float]] = {
    **{f'uint{bits}': (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f'int{bits}': (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    'float': (-_LARGEST_FLOAT32, _LARGEST_FLOAT32),
    'double': (-sys.float_info.max, sys.float_info.max),
}

_FINISH_REASONS = {
    'stop': AnswerMsg.STOP,
    'length': AnswerMsg.LENGTH,
    'canceled': AnswerMsg.CANCELED,
}
_STATES = {
    'waiting_for_images': StreamStatus.WAITING_FOR_IMAGES,
    'streaming': StreamStatus.STREAMING,
    'answering': StreamStatus.ANSWERING,
    'paused': StreamStatus.PAUSED,
    'stale': StreamStatus.STALE,
    'error': StreamStatus.ERROR,
}


def to_time(nanoseconds: int) -> Time:
    """Return integer nanoseconds as a message's time, clipped to what it can hold.

    It has 32 bits for the seconds, one of them for the sign.
    """
    near = max(-(2**31) * NANOSECONDS, min(nanoseconds, LAST_STAMP))
    seconds, rest = divmod(near, NANOSECONDS)
    return Time(sec=seconds, nanosec=rest)


def bounded(kind: type[Message], **fields: Any) -> Message:
    """Return a message in which every number is clipped to the range of its field.

    rclpy refuses a number that does not fit, and the receiver would get no message: a
    counter at its maximum is better than that. NaN stays.
    """
    types = kind.get_fields_and_field_types()
    for name, value in fields.items():
        if types[name] in _RANGES and not isinstance(value, bool):
            low, high = _RANGES[types[name]]
            # In this order NaN, which is neither smaller nor larger, stays what it is.
            fields[name] = low if value < low else high if value > high else value
    return kind(**fields)


def answer_message(answer: Answer) -> AnswerMsg:
    """Return the message for an answer."""
    return bounded(
        AnswerMsg,
        header=header_message(answer.stamp_ns, answer.frame_id),
        oldest_stamp=to_time(answer.oldest_stamp_ns),
        frames=answer.frames,
        epoch=answer.epoch,
        question=answer.question,
        text=answer.text,
        choice_index=answer.choice_index,
        choice_probabilities=list(answer.choice_probabilities),
        finish_reason=_FINISH_REASONS[answer.finish_reason],
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        time_to_first_token=answer.time_to_first_token,
        total_time=answer.total_time,
        evidence=_evidence_message(answer.evidence),
    )


def _evidence_message(evidence: Evidence) -> EvidenceMsg:
    return bounded(
        EvidenceMsg,
        view=evidence.view,
        exact=evidence.exact,
        first_stamp=to_time(evidence.first_stamp_ns),
        last_stamp=to_time(evidence.last_stamp_ns),
        frames=evidence.frames,
        stamps=[to_time(stamp_ns) for stamp_ns in evidence.stamps_ns],
        height=evidence.height,
        width=evidence.width,
    )


def watch_message(watch: Watch) -> WatchMsg:
    """Return the message for a watch."""
    return bounded(
        WatchMsg,
        name=watch.name,
        question=watch.question,
        choices=list(watch.choices),
        threshold=watch.threshold,
        hold=watch.hold,
        choice=watch.choice,
        choice_index=watch.choice_index,
        since=to_time(watch.since_ns),
        probabilities=list(watch.probabilities),
        stamp=to_time(watch.stamp_ns),
        view=watch.view.name,
        view_since=to_time(watch.view.since_ns),
        view_until=to_time(watch.view.until_ns),
        tokens=watch.tokens + watch.frame_tokens,
    )


def watch_event_message(event: WatchEvent) -> WatchEventMsg:
    """Return the message for an event."""
    return bounded(
        WatchEventMsg,
        header=header_message(event.stamp_ns, event.frame_id),
        name=event.name,
        question=event.question,
        choice=event.choice,
        choice_index=event.choice_index,
        previous=event.previous,
        probabilities=list(event.probabilities),
        choices=list(event.choices),
        epoch=event.epoch,
        since=to_time(event.since_ns),
    )


def fill_success(response: Response, **fields: Any) -> Response:
    """Fill a service's response with what it carries on success."""
    response.success = True
    response.error_code = response.NONE
    for name, value in fields.items():
        setattr(response, name, value)
    return response


def fill_failure(response: Response, error: StreamError) -> Response:
    """Fill a service's response with a fault."""
    response.success = False
    response.error_code = int(error.code)
    response.error_msg = sentence(str(error))
    return response


def status_message(
    status: WorkerStatus, publishers: int = 0, frames_lost: int = 0
) -> StreamStatus:
    """Return the message for the worker's status.

    Args:
        status: of the worker.
        publishers: of the image topic.
        frames_lost: on their way to the node.

    """
    return bounded(
        StreamStatus,
        header=header_message(status.stamp_ns, status.frame_id),
        state=_STATES[status.state],
        epoch=status.epoch,
        oldest_stamp=to_time(status.oldest_stamp_ns),
        frames_received=status.frames_received,
        frames_sampled_out=status.frames_sampled_out,
        frames_ingested=status.frames_ingested,
        frames_dropped=status.frames_dropped,
        frames_failed=status.frames_failed,
        frames_late=status.frames_late,
        frames_waiting=status.frames_waiting,
        frames_lost=frames_lost,
        input_rate=status.input_rate,
        ingest_rate=status.ingest_rate,
        frame_age=status.frame_age,
        cache_tokens=status.cache_tokens,
        cache_capacity=status.cache_capacity,
        evicted_tokens=status.evicted_tokens,
        memory_bytes=status.memory_bytes,
        skipped_patches=status.skipped_patches,
        pending_requests=status.pending_requests,
        stamp_jumps=status.stamp_jumps,
        publishers=publishers,
        internal_faults=status.internal_faults,
        memory_losses=status.memory_losses,
        watch_tokens=status.watch_tokens,
        watch_seconds=status.watch_seconds,
        last_error=sentence(status.last_error),
    )


def fill_store(message: StreamStatus, store: StoreStatus) -> None:
    """Fill in a status what the store of frames tells."""
    message.stored_frames, message.store_bytes = store.frames, store.bytes
    message.store_thinned, message.store_dropped = store.thinned, store.dropped
    message.store_error = sentence(store.error)


def idle_status(fault: str) -> StreamStatus:
    """Return the status of a node without a model, with the fault of its last attempt."""
    return StreamStatus(state=StreamStatus.INACTIVE, last_error=sentence(fault))


def header_message(stamp_ns: int, frame_id: str) -> Header:
    """Return a header; a frame_id that is too long is cut."""
    return Header(stamp=to_time(stamp_ns), frame_id=frame_id[:MOST_FRAME_ID])
