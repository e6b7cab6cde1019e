# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Count the files that a chunk of frames and a question pass on their way through the engine.

    scripts/with_ros python -m scripts.trips             the figures
    scripts/with_ros python -m scripts.trips --calls     with files, functions and calls upward
    scripts/with_ros python -m scripts.trips --check     exit code 1 if a limit is broken

Each trip goes through a `StreamWorker` with the embedded model on the CPU. Counted are the
files of the engine outside `ops/` in which a function runs, these functions, and the calls upward:
from a file to one that imports it, directly or by way of others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
import dataclasses
import functools
import pathlib
import sys
import threading
import time
from types import FrameType
from typing import Any

import numpy as np

from scripts.house import graph_of, modules_of, ROOT
from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)

ENGINE = ROOT / 'streamvlm_ros' / 'engine'
MOST_FILES = 20  # of one trip
CHUNK = 4  # frames
SECOND = 10**9
LONGEST = 120.0  # seconds that a step of a trip may take


@dataclasses.dataclass(frozen=True)
class Call:
    """A call from one function of the engine to another."""

    caller: str
    callee: str
    function: str


@dataclasses.dataclass(frozen=True)
class Trip:
    """What one trip has met.

    Attributes:
        files: the engine's files outside `ops/`, relative to the engine.
        functions: file and name of each function in them.
        upward: the calls from a file to one that imports it.

    """

    files: tuple[str, ...]
    functions: tuple[tuple[str, str], ...]
    upward: tuple[Call, ...]


class Tracer:
    """Notes every function of the engine that runs while it is on, in all threads."""

    def __init__(self) -> None:
        """Trace nothing until `on` is set; only threads that start after `install` are traced."""
        self.on = False
        self.calls: list[Call] = []

    def install(self) -> None:
        """Watch this thread and all that are started from now on."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def remove(self) -> None:
        """Watch this thread no more, and no new ones."""
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.on or event != 'call':
            return
        callee = _engine_file(frame.f_code.co_filename)
        if callee is None:
            return
        back = frame.f_back
        # Code that is not the engine's stands between: a library calls what the engine gave it.
        while back is not None and _engine_file(back.f_code.co_filename) is None:
            back = back.f_back
        caller = _engine_file(back.f_code.co_filename) if back is not None else None
        # Python 3.10 knows no qualified names of code.
        name = getattr(frame.f_code, 'co_qualname', frame.f_code.co_name)
        self.calls.append(Call(caller or '', callee, name))


@functools.cache
def _engine_file(name: str) -> str | None:
    path = pathlib.Path(name)
    return path.relative_to(ENGINE).as_posix() if path.is_relative_to(ENGINE) else None


@functools.cache
def imports() -> Mapping[str, frozenset[str]]:
    """Return for every file of the engine those that it imports, directly or not."""
    modules = modules_of(ROOT)
    arrows = graph_of(modules)
    files = {
        name: path.relative_to(ENGINE).as_posix()
        for name, path in modules.items()
        if path.is_relative_to(ENGINE)
    }
    reached = {}
    for name, file in files.items():
        seen: set[str] = set()
        following = {name}
        while following:
            following = {other for each in following for other in arrows[each]} - seen
            seen |= following
        reached[file] = frozenset(files[each] for each in seen & files.keys())
    return reached


def trip_of(calls: list[Call]) -> Trip:
    """Return what some calls have met."""
    counted = [call for call in calls if not call.callee.startswith('ops/')]
    upward = dict.fromkeys(
        call
        for call in calls
        if call.caller and call.caller in imports()[call.callee] and call.caller != call.callee
    )
    return Trip(
        tuple(sorted({call.callee for call in counted})),
        tuple(sorted({(call.callee, call.function) for call in counted})),
        tuple(upward),
    )


def trace_trips() -> dict[str, Trip]:
    """Send a chunk and a question through a worker; return what each has met."""
    folder = resolve_model('tiny')
    model = StreamQwenModel.from_pretrained(folder, dtype='float32')
    engine = VideoStreamingInference(
        model, load_processor(folder), settings=StreamSettings(chunk_frames=CHUNK)
    )
    worker, tracer = StreamWorker(engine), Tracer()
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    frames = iter(range(1, 1000))

    def feed() -> None:
        for _ in range(CHUNK):
            worker.submit_frame(image, next(frames) * SECOND // 2)

    def traced(action: Callable[[], Any], done: Callable[[], bool]) -> Trip:
        tracer.calls, tracer.on = [], True
        try:
            action()
            sys.setprofile(None)  # what follows here only waits
            _wait(done)
        finally:
            tracer.on = False
        return trip_of(tracer.calls)

    tracer.install()
    try:
        worker.start()
        feed()
        _wait(lambda: _is_idle(worker, 1))
        chunk = traced(feed, lambda: _is_idle(worker, 2))
        worker.ask('What is there?', max_new_tokens=6).result(LONGEST)  # what is made once
        _wait(lambda: _is_idle(worker, 2))
        tracer.install()
        question = traced(
            lambda: worker.ask('What is there?', max_new_tokens=6),
            lambda: not worker.status().pending_requests and _is_idle(worker, 2),
        )
    finally:
        tracer.remove()
        worker.stop()
    return {'chunk': chunk, 'question': question}


def faults_of(trips: Mapping[str, Trip]) -> Iterator[str]:
    """Yield a sentence for each limit that a trip breaks."""
    for name, trip in trips.items():
        if len(trip.files) > MOST_FILES:
            yield (
                f'The trip of a {name} passes {len(trip.files)} files outside ops/, and '
                f'{MOST_FILES} is the limit: {", ".join(trip.files)}.'
            )
        for call in trip.upward:
            yield (
                f'On the trip of a {name}, {call.caller} calls {call.function} upward in '
                f'{call.callee}, which imports it.'
            )


def _is_idle(worker: StreamWorker, chunks: int) -> bool:
    status = worker.status()
    return status.frames_ingested == chunks * CHUNK and not status.activity


def _wait(done: Callable[[], bool]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it does not hold after `LONGEST` seconds.

    """
    end = time.monotonic() + LONGEST
    while not done():
        if time.monotonic() > end:
            raise TimeoutError('The worker did not come to rest.')
        time.sleep(0.01)


def main() -> int:
    """Print the figures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--calls', action='store_true', help='list files and calls upward')
    parser.add_argument('--check', action='store_true', help='fail if a limit is broken')
    asked = parser.parse_args()
    trips = trace_trips()
    for name, trip in trips.items():
        print(
            f'{name}: {len(trip.files)} files outside ops/, {len(trip.functions)} functions, '
            f'{len(trip.upward)} calls upward'
        )
        if asked.calls:
            for file in trip.files:
                names = [function for where, function in trip.functions if where == file]
                print(f'  {file}: {", ".join(names)}')
            for call in trip.upward:
                print(f'  upward: {call.caller} -> {call.callee} {call.function}')
    faults = list(faults_of(trips)) if asked.check else []
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
