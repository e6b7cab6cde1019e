# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Builds running workers from checked parameters. No ROS here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

from streamvlm_ros.engine import StreamError, StreamWorker, WatchEvent
from streamvlm_ros.nodes.loading import load_engines
from streamvlm_ros.nodes.parameters.watch_lines import parse_watches
from streamvlm_ros.view import ViewName

# Parameters that a worker takes while it runs, each by its setter.
SETTERS: Mapping[str, Callable[[StreamWorker, Any], None]] = {
    'sample_rate': StreamWorker.set_sample_rate,
    'policy': StreamWorker.set_policy,
    'max_goals': StreamWorker.set_max_goals,
    'stale_after': StreamWorker.set_stale_after,
}


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """What a stream is made of.

    Attributes:
        values: its checked parameters; those that are the process's are the same in every plan.
        log: takes the traceback of a fault of the program.
        on_change: called from the worker's thread when its status has changed in kind.
        on_watch_event: called from the worker's thread when a watch's answer has changed.

    """

    values: Mapping[str, Any]
    log: Callable[[str], object]
    on_change: Callable[[], None]
    on_watch_event: Callable[[WatchEvent], None]


def build_workers(plans: Sequence[StreamPlan], log: Callable[[str], object]) -> list[StreamWorker]:
    """Load the model and start a worker for each stream, all in one thread.

    Takes seconds to minutes.

    Raises:
        StreamError, OSError, ValueError: as `load_engines`, or a watch is refused.

    """
    workers: list[StreamWorker] = []
    for plan, engine in zip(plans, load_engines([plan.values for plan in plans], log)):
        worker = StreamWorker(
            engine,
            queue_frames=plan.values['queue_frames'],
            queue_bytes=plan.values['queue_bytes'],
            log=plan.log,
            on_change=plan.on_change,
            on_watch_event=plan.on_watch_event,
            beside=workers[0] if workers else None,
        )
        apply_settings(worker, plan.values)
        workers.append(worker)
    workers[0].start()  # their one thread
    try:
        for plan, worker in zip(plans, workers):
            _add_watches(worker, plan.values['watches'], plan.values['view'])
    except BaseException:
        workers[0].stop()
        raise
    return workers


def apply_settings(worker: StreamWorker, values: Mapping[str, Any]) -> None:
    """Set the parameters that a worker takes while it runs; ignore others.

    Raises:
        StreamError: INVALID_REQUEST; a value does not suit the stream.

    """
    for name in SETTERS.keys() & values.keys():
        SETTERS[name](worker, values[name])


def _add_watches(worker: StreamWorker, text: str, view: ViewName) -> None:
    for watch in parse_watches(text):
        try:
            worker.watch(**{'view': view, **watch}).result()
        except StreamError as error:
            raise StreamError(
                error.code, f'The watch {watch["name"]!r} is refused: {error}'
            ) from error
