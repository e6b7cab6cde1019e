# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The blocking client of a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Literal, TYPE_CHECKING, TypeVar
import weakref

from builtin_interfaces.msg import Time
from rclpy.node import Node

from streamvlm_ros.client.core import Core, LOAD_TIME
from streamvlm_ros.client.outputs import (
    Answer,
    SavedStream,
    Status,
    WatchEvent,
    WatchInfo,
)
from streamvlm_ros.client.requests import question_view, view_fields
from streamvlm_ros.client.streams import AnswerStream, Inbox, Relay, result, Watch
from streamvlm_ros.store.moments import Forgotten
from streamvlm_ros.view import ViewName

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from streamvlm_ros.client.requests import GenerationOptions

T = TypeVar('T')


class StreamClient:
    """Asks a running node; use it in a `with` block.

    Any thread may use it, and several at once. Every method raises a StreamError, of the class of
    its code, where the node says no; NodeNotFoundError where there is no such node; NoReplyError
    where it ends or falls silent; InvalidRequestError for an argument that is not possible.

    Stamps are those of the images' headers: `after` takes whole nanoseconds, or a message's
    `header.stamp`. The client reads no clock for them, so use_sim_time makes no difference here.

    Attributes:
        target: full name of the node.

    """

    def __init__(
        self,
        name: str = '/streamvlm',
        *,
        node: Node | None = None,
        domain_id: int | None = None,
    ) -> None:
        """Join the ROS graph; nothing is asked yet.

        Args:
            name: of the node to ask; a relative one begins at the namespace of `node`.
            node: your own node, if you have one: its ROS context is used, so that there is no
                second participant, and callbacks of watches run in its executor. Calls may be made
                from its callbacks: replies come through a thread of the client.
            domain_id: ROS domain; None: as the environment says, or that of `node`.

        """
        self._node = node
        self._core = Core(name, node, domain_id)
        self._finalizer = weakref.finalize(self, self._core.participant.let_go)
        self.target = self._core.target

    def close(self) -> None:
        """End answers and watches that are open, and leave the graph. May be called again."""
        self._core.participant.close()

    def __enter__(self) -> StreamClient:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def ask(
        self,
        question: str,
        *,
        after: int | Time = 0,
        timeout: float = 0.0,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        return_frames: bool = False,
        max_new_tokens: int = 0,
        update_state: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> Answer:
        """Ask for an answer in free text.

        Args:
            question: about what the camera has seen.
            after: wait for a frame with this stamp or a newer one; 0: answer from what is there.
            timeout: seconds for the complete answer; 0: the node's request_timeout.
            view: what to look at: 'memory' (all that is cached), 'now' (the newest frames alone,
                as sharp as the node allows), 'memory_and_now', or 'span'. Empty: 'span' where
                `since` or `until` is given, else the node's parameter `view`.
            since: of a span: no frame is older than this stamp; 0: the oldest that is kept.
            until: of a span: no frame is newer than this stamp; 0: the newest.
            return_frames: let the answer have the pictures that the view has shown to the model;
                refused for memory, whose pictures are not kept.
            max_new_tokens: most tokens to write; 0: as the node has it.
            update_state: keep question and answer in the stream, for later questions.
            options: how the answer is drawn: sample, temperature, seed and others.

        """
        return self._result(
            self._core.ask(
                question,
                after=after,
                timeout=timeout,
                max_new_tokens=max_new_tokens,
                update_state=update_state,
                options=options,
                look=question_view(view, since, until, return_frames),
            )
        )

    def ask_choice(
        self,
        question: str,
        choices: Sequence[str],
        *,
        after: int | Time = 0,
        timeout: float = 0.0,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        return_frames: bool = False,
    ) -> Answer:
        """Ask which of 2 to 26 answers fits; the arguments are those of `ask`."""
        return self._result(
            self._core.ask_choice(
                question,
                choices,
                after=after,
                timeout=timeout,
                look=question_view(view, since, until, return_frames),
            )
        )

    def stream_answer(
        self,
        question: str,
        choices: Sequence[str] = (),
        *,
        after: int | Time = 0,
        timeout: float = 0.0,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        return_frames: bool = False,
        max_new_tokens: int = 0,
        update_state: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> AnswerStream:
        """Ask, and iterate over the text while it is written; the arguments are those of `ask`.

        What is closed early is canceled in the node.
        """
        inbox = Inbox(self._core.participant)
        goal = self._core.stream_answer(
            inbox.put,
            question,
            choices,
            after=after,
            timeout=timeout,
            max_new_tokens=max_new_tokens,
            update_state=update_state,
            options=options,
            look=question_view(view, since, until, return_frames),
        )
        return AnswerStream(self, goal, inbox)

    def watch(
        self,
        question: str,
        choices: Sequence[str],
        *,
        name: str = '',
        threshold: float = 0.7,
        hold: int = 2,
        keep: bool = False,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        on_event: Callable[[WatchEvent], object] | None = None,
        timeout: float = 0.0,
    ) -> Watch:
        """Add a standing question; iterate over its changes, and remove it at the end.

        Args:
            question: is asked after every chunk of frames.
            choices: 2 to 26 answers.
            name: of its events; empty: the node makes one up.
            threshold: a new answer needs this probability,
            hold: for this many chunks in a row.
            keep: leave it in the node at the end.
            view: what to look at, as for `ask`; other views than memory read their frames again
                after every chunk.
            since: of a span, as for `ask`.
            until: of a span, as for `ask`.
            on_event: is called for each event, instead of iterating: in the executor of your node
                where the client has one, otherwise in the client's thread, which must not wait
                for the client.
            timeout: seconds for the node to add it; 0: as long as it lives.

        """
        participant = self._core.participant
        inbox = Inbox(participant)
        relay = None if on_event is None else Relay(participant, self._node, on_event, inbox)
        watching = self._core.watch(
            inbox.put if relay is None else relay.put,
            question,
            choices,
            name=name,
            threshold=threshold,
            hold=hold,
            keep=keep,
            timeout=timeout,
            look=view_fields(view, since, until),
        )
        watch = Watch(self, participant, watching, inbox)
        if relay is not None:
            relay.is_added = True
        return watch

    def watches(self, *, timeout: float = 0.0) -> tuple[WatchInfo, ...]:
        """Return the standing questions of the node, and the answers that hold."""
        return self._result(self._core.watches(timeout))

    def save(self, path: str, *, timeout: float = 0.0) -> SavedStream:
        """Write the stream's memory to a file: a name in the node's save_folder."""
        return self._result(self._core.save(path, timeout))

    def load(self, path: str, *, timeout: float = 0.0) -> SavedStream:
        """Let the node go on from a saved stream; its present one is forgotten."""
        return self._result(self._core.load(path, timeout))

    def forget(
        self, since: int | Time = 0, until: int | Time = 0, *, timeout: float = 0.0
    ) -> Forgotten:
        """Take a time out of the node's store for good; 0: from the oldest on, up to the newest.

        The ends are header stamps, in nanoseconds or as a message, and are included.
        """
        return self._result(self._core.forget(since, until, timeout))

    def reset(self, *, timeout: float = 0.0) -> None:
        """Empty the stream; a new epoch begins."""
        self._result(self._core.reset(timeout))

    def pause(self, *, timeout: float = 0.0) -> None:
        """Let the node ignore images from now on; questions are answered still."""
        self._result(self._core.set_paused(True, timeout))

    def resume(self, *, timeout: float = 0.0) -> None:
        """Let the node take images again."""
        self._result(self._core.set_paused(False, timeout))

    def status(self, *, timeout: float = 0.0) -> Status:
        """Return the newest status, of which one comes a second; wait for the first one."""
        return self._result(self._core.status(timeout))

    def wait_for_status(
        self, condition: Callable[[Status], bool], *, timeout: float = 20.0
    ) -> Status:
        """Return the first status that meets a condition; the newest one counts too.

        Args:
            condition: is called in the client's thread.
            timeout: seconds to wait for it.

        """
        return self._result(self._core.wait_for_status(condition, timeout))

    def wait_until_ready(self, *, timeout: float = LOAD_TIME) -> Status:
        """Wait until the node is there, has loaded its model, and listens to its camera."""
        return self._result(self._core.wait_until_ready(timeout))

    def _result(self, future: Future[T]) -> T:
        return result(self._core.participant, future)
