# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the client hands back. Stamps are the images' header stamps, in integer nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any, get_args, Literal, TYPE_CHECKING, TypeVar

from streamvlm_ros.stamps import to_nanoseconds
from streamvlm_ros.store.moments import Forgotten
from streamvlm_ros.view import Evidence

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FinishReason = Literal['stop', 'length', 'canceled', '']
State = Literal[
    'unknown', 'loading', 'waiting_for_images', 'streaming', 'answering', 'paused', 'stale',
    'error', 'inactive',
]  # fmt: skip

_FINISH_REASONS: tuple[FinishReason, ...] = ('', 'stop', 'length', 'canceled')  # by their numbers
_STATES: tuple[State, ...] = get_args(State)  # by their numbers
T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Picture:
    """A frame as the model saw it.

    Attributes:
        stamp_ns: its stamp.
        frame_id: of its camera.
        format: of `data`: 'jpeg' or 'png'.
        data: the bytes of a file of this format.

    """

    stamp_ns: int
    frame_id: str
    format: str
    data: bytes = dataclasses.field(repr=False)

    def decode(self) -> npt.NDArray[np.uint8]:
        """Return it as RGB uint8 [h, w, 3]; needs cv2. Raises ValueError if it is damaged."""
        import cv2
        import numpy as np

        pixels = cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ValueError(f'{len(self.data)} bytes of {self.format} are no picture.')
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer, and the frames that it is about. Times are in seconds.

    Attributes:
        question: what was asked.
        text: the answer; of a question with choices, the most probable one.
        choices: those of the question, in its order; empty for free text.
        choice_index: place of the picked choice; -1 for free text.
        choice_probabilities: of each choice, in the order of `choices`; they add up to 1.
        finish_reason: 'stop': the model ended it or picked a choice; 'length': max_new_tokens was
            reached; 'canceled': text is what was written until then; '': there is no answer.
        stamp_ns: stamp of the newest frame that it saw.
        oldest_stamp_ns: stamp of the oldest one.
        frame_id: of the newest frame.
        frames: how many it saw.
        epoch: number of the stream; it grows by one with every reset.
        prompt_tokens: tokens of the whole prompt, with those in the cache.
        completion_tokens: tokens that were written; 0 for choices.
        time_to_first_token: from the question's arrival, once `after` was met.
        total_time: from the same moment to the complete answer.
        evidence: the frames that it rests on.
        pictures: of a question with `return_frames`: those of `evidence.stamps_ns`, in that
            order.

    """

    question: str
    text: str
    choices: tuple[str, ...]
    choice_index: int
    choice_probabilities: tuple[float, ...]
    finish_reason: FinishReason
    stamp_ns: int
    oldest_stamp_ns: int
    frame_id: str
    frames: int
    epoch: int
    prompt_tokens: int
    completion_tokens: int
    time_to_first_token: float
    total_time: float
    evidence: Evidence
    pictures: tuple[Picture, ...] = dataclasses.field(default=(), repr=False)

    @property
    def choice(self) -> str:
        """The picked choice; empty for free text."""
        return self.text if self.choice_index >= 0 else ''

    @property
    def probabilities(self) -> dict[str, float]:
        """The probability of each choice by its text; empty for free text."""
        return dict(zip(self.choices, self.choice_probabilities))


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of the stream; docs/interfaces.md explains each field of StreamStatus."""

    state: State
    stamp_ns: int
    frame_id: str
    oldest_stamp_ns: int
    epoch: int
    frames_received: int
    frames_sampled_out: int
    frames_ingested: int
    frames_dropped: int
    frames_failed: int
    frames_late: int
    frames_waiting: int
    frames_lost: int
    input_rate: float
    ingest_rate: float
    frame_age: float
    cache_tokens: int
    cache_capacity: int
    evicted_tokens: int
    memory_bytes: int
    skipped_patches: int
    stamp_jumps: int
    publishers: int
    internal_faults: int
    memory_losses: int
    watch_tokens: int
    watch_seconds: float
    pending_requests: int
    stored_frames: int
    store_bytes: int
    store_thinned: int
    store_dropped: int
    store_error: str
    last_error: str

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded and the node listens to its camera."""
        return self.state in ('waiting_for_images', 'streaming', 'answering')


@dataclasses.dataclass(frozen=True)
class WatchEvent:
    """The answer to a standing question has changed.

    Attributes:
        name: of the watch.
        question: of the watch.
        choice: the new answer.
        choice_index: its place in `choices`.
        previous: the answer that held before; empty: this is the first one in this epoch.
        choices: all of them.
        probabilities: of each choice, in the order of `choices`.
        stamp_ns: stamp of the newest frame that was seen when the change was found.
        since_ns: stamp of the newest frame that the new answer's first score has seen.
        frame_id: of the newest frame.
        epoch: number of the stream.

    """

    name: str
    question: str
    choice: str
    choice_index: int
    previous: str
    choices: tuple[str, ...]
    probabilities: tuple[float, ...]
    stamp_ns: int
    since_ns: int
    frame_id: str
    epoch: int

    @property
    def probability(self) -> float:
        """The probability of the new answer."""
        return self.probabilities[self.choice_index]


@dataclasses.dataclass(frozen=True)
class WatchInfo:
    """A standing question of the node, and the answer that holds now.

    Attributes:
        name: unique in the node.
        question: what is asked.
        choices: its answers.
        threshold: probability that a new answer needs.
        hold: number of chunks in a row for which it needs it.
        choice: the answer that holds; empty: none yet in this epoch.
        choice_index: its place in `choices`; -1: none.
        since_ns: stamp from which on it holds; 0: none.
        probabilities: the newest score; empty: not scored yet.
        stamp_ns: stamp of the newest frame that it saw; 0: not scored yet.
        view: what it looks at: 'memory', 'now', 'memory_and_now' or 'span'.
        view_since_ns, view_until_ns: stamps of a span; 0: the oldest that is kept, the newest.
        tokens: that it costs after every chunk, those of its view's frames included.

    """

    name: str
    question: str
    choices: tuple[str, ...]
    threshold: float
    hold: int
    choice: str
    choice_index: int
    since_ns: int
    probabilities: tuple[float, ...]
    stamp_ns: int
    view: str
    view_since_ns: int
    view_until_ns: int
    tokens: int


@dataclasses.dataclass(frozen=True)
class SavedStream:
    """A saved or loaded stream.

    Attributes:
        path: the file on the node's machine.
        frames: from the oldest to the newest in the memory.
        tokens: of the KV cache.
        bytes: of the file.

    """

    path: str
    frames: int
    tokens: int
    bytes: int


def answer_of(message: Any, choices: Sequence[str] = (), frames: Sequence[Any] = ()) -> Answer:
    """Return a message `Answer` to a question with these choices, and its compressed images."""
    reason = message.finish_reason
    return _read(
        Answer,
        message,
        choices=tuple(choices),
        evidence=_read(Evidence, message.evidence),
        pictures=tuple(_read(Picture, frame, data=bytes(frame.data)) for frame in frames),
        finish_reason=_FINISH_REASONS[reason] if reason < len(_FINISH_REASONS) else '',
    )


def status_of(message: Any) -> Status:
    """Return a message `StreamStatus`."""
    state = message.state
    return _read(Status, message, state=_STATES[state] if state < len(_STATES) else 'unknown')


def event_of(message: Any) -> WatchEvent:
    """Return a message `WatchEvent`."""
    return _read(WatchEvent, message)


def watch_of(message: Any) -> WatchInfo:
    """Return a message `Watch`."""
    return _read(WatchInfo, message)


def saved_of(response: Any) -> SavedStream:
    """Return what the response of `~/save` or `~/load` tells."""
    return _read(SavedStream, response)


def forgotten_of(response: Any) -> Forgotten:
    """Return what the response of `~/forget` tells."""
    return _read(Forgotten, response)


def _read(kind: type[T], message: Any, **known: Any) -> T:
    """Fill a dataclass from the fields of a message that have the same names."""
    values = dict(known)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in known:
            values[field.name] = _value(message, field.name)
    return kind(**values)


def _value(message: Any, name: str) -> Any:
    if name == 'frame_id':
        return message.header.frame_id
    if name == 'stamps_ns':
        return tuple(map(to_nanoseconds, message.stamps))
    if name.endswith('_ns'):
        holder = message if hasattr(message, name[:-3]) else message.header
        return to_nanoseconds(getattr(holder, name[:-3]))
    value = getattr(message, name)
    return value if isinstance(value, (str, int, float)) else tuple(value)
