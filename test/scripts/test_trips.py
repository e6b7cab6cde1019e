# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk of frames and a question pass few files of the engine, and nothing calls upward."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from scripts.trips import Call, faults_of, MOST_FILES, Trip, trip_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = tuple(f'stream/file_{i}.py' for i in range(MOST_FILES))
UPWARD = Call('stream/stream.py', 'serving/session.py', 'StreamSession.due')


@pytest.mark.slow
def test_the_trips_keep_their_limits() -> None:
    """In a process of its own, as every function call in it is watched."""
    done = subprocess.run(
        [sys.executable, '-m', 'scripts.trips', '--check', '--calls'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    figures = [line.split() for line in lines if not line.startswith(' ')]
    assert [words[0] for words in figures] == ['chunk:', 'question:']
    # A trip that met nothing would keep every limit.
    assert all(10 < int(words[1]) <= MOST_FILES for words in figures)
    # The steps that docs/design/life.md names are passed.
    text = (ROOT / 'docs' / 'design' / 'life.md').read_text().partition('\n## A question')
    for story, trip in zip((text[0], text[2]), done.stdout.split('\nquestion: ')):
        steps = re.findall(r'\| `engine/([\w/]+\.py)` `([\w.]+)` \|', story)
        assert len(steps) >= 7
        passed = [line.partition(': ') for line in trip.splitlines()]
        functions = {file.strip(): set(names.split(', ')) for file, _, names in passed}
        for file, function in steps:
            # Python 3.10 knows no qualified names of code.
            name = function if sys.version_info >= (3, 11) else function.rpartition('.')[2]
            assert name in functions[file], (file, function)


@pytest.mark.parametrize(
    'trip, fault',
    [
        (Trip(FILES, (), ()), None),
        (Trip((*FILES, 'stream/one_more.py'), (), ()), 'passes 21 files'),
        (Trip(FILES, (), (UPWARD,)), 'stream/stream.py calls StreamSession.due upward in serving'),
    ],
)
def test_each_limit_can_be_broken(trip: Trip, fault: str | None) -> None:
    faults = list(faults_of({'chunk': trip}))
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


def test_calls_are_judged_by_the_imports() -> None:
    """Upward is a call to a file that imports the caller, also by way of others."""
    downward = Call('serving/session.py', 'kvcache/cache.py', 'StreamCache.pin')
    same = Call('stream/stream.py', 'stream/stream.py', 'FrameStream.flush')
    below = Call('kvcache/cache.py', 'ops/attention.py', 'attend')
    trip = trip_of([downward, UPWARD, same, below])
    assert trip.upward == (UPWARD,)
    assert trip.files == ('kvcache/cache.py', 'serving/session.py', 'stream/stream.py')
