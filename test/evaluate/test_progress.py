# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far a run is, and how long the rest will take."""

from __future__ import annotations

import io
import sys
import time

from streamvlm_ros.evaluate.progress import duration, Progress


def test_the_time_left_is_told_on_a_terminal_only(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    clock = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: clock[0])
    for stream, says in ((Screen(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, 'stderr', stream)
        progress = Progress(4, 9, 400.0)
        assert progress.seconds_left() is None
        progress.add_question()
        clock[0] += 60.0
        progress.add_video(100.0)
        assert progress.seconds_left() == 180.0
        progress.end()
        line = 'video 1 of 4, question 1 of 9, about 3 min left'
        assert (line in stream.getvalue()) == says == bool(stream.getvalue())
    assert [duration(s) for s in (20, 100, 7300)] == ['20 s', '2 min', '2 h 2 min']
