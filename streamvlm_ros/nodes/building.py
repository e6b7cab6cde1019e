# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From checked parameters to a worker that runs. No ROS here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamvlm_ros.engine import StreamError, StreamWorker, WatchEvent
from streamvlm_ros.nodes.loading import load_engine
from streamvlm_ros.nodes.watch_lines import parse_watches

# Parameters that a worker takes while it runs, each by its setter.
SETTERS: Mapping[str, Callable[[StreamWorker, Any], None]] = {
    'sample_rate': StreamWorker.set_sample_rate,
    'policy': StreamWorker.set_policy,
    'max_goals': StreamWorker.set_max_goals,
    'stale_after': StreamWorker.set_stale_after,
}


def build_worker(
    values: Mapping[str, Any],
    log: Callable[[str], object],
    on_change: Callable[[], None],
    on_watch_event: Callable[[WatchEvent], None],
) -> StreamWorker:
    """Load the model and start a worker with it; takes seconds to minutes.

    Raises:
        StreamError, OSError, ValueError: as `load_engine`, or a watch is refused.

    """
    worker = StreamWorker(
        load_engine(values, log),
        queue_frames=values['queue_frames'],
        on_change=on_change,
        on_watch_event=on_watch_event,
    )
    apply_settings(worker, values)
    worker.start()
    try:
        _add_watches(worker, values['watches'])
    except BaseException:
        worker.stop()
        raise
    return worker


def apply_settings(worker: StreamWorker, values: Mapping[str, Any]) -> None:
    """Give a worker what it takes while it runs; other names are left out.

    Raises:
        StreamError: INVALID_REQUEST; a value does not suit the stream.

    """
    for name in SETTERS.keys() & values.keys():
        SETTERS[name](worker, values[name])


def _add_watches(worker: StreamWorker, text: str) -> None:
    for watch in parse_watches(text):
        try:
            worker.watch(**watch).result()
        except StreamError as error:
            raise StreamError(
                error.code, f'The watch {watch["name"]!r} is refused: {error}'
            ) from error
