# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a question of the command line looks at, and how it is told what an answer rests on."""

from __future__ import annotations

import argparse
import pathlib
import types

import cv2
import numpy as np
import pytest

from streamvlm_ros.cli import calls
from streamvlm_ros.cli.contact_sheet import Note, write_pictures
from streamvlm_ros.errors import CommandError

SECOND = 10**9


class Robot:
    """A client whose node has seen this stamp, or nothing."""

    def __init__(self, stamp_ns: int = 0) -> None:
        self.stamp_ns = stamp_ns

    def status(self) -> Robot:
        return self


def parsed(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    calls.add_view_arguments(parser)
    return parser.parse_args(line)


@pytest.mark.parametrize(
    ('text', 'stamp_ns'),
    [
        ('90s', 9_910 * SECOND),
        ('1.5m', 9_910 * SECOND),
        ('2h', 2_800 * SECOND),
        ('250ms', 9_999_750_000_000),
        ('9000.25', 9_000_250_000_000),
        ('0s', 10_000 * SECOND),
        ('3h', 1),  # before all stamps; 0 would be an open end
        ('0', 1),
    ],
)
def test_a_time_counts_from_the_newest_frame_or_is_a_stamp(text: str, stamp_ns: int) -> None:
    fields = calls.view_fields(Robot(10_000 * SECOND), parsed('--until', text))
    assert fields == {'view': '', 'until': stamp_ns}


def test_a_time_that_is_none_is_refused() -> None:
    for text in ('soon', '3 h', '3d', '-5', '1e99'):
        with pytest.raises(CommandError, match=r'--since .* is no time; give a header stamp'):
            calls.view_fields(Robot(SECOND), parsed(f'--since={text}'))
    with pytest.raises(CommandError, match='no frame has come in yet'):
        calls.view_fields(Robot(), parsed('--since', '3h'))
    with pytest.raises(CommandError, match='--since and --until are those of a span'):
        calls.view_fields(Robot(SECOND), parsed('--view', 'now', '--since', '3s'))
    assert calls.view_fields(Robot(), parsed('--view', 'now')) == {'view': 'now'}


def test_the_evidence_is_one_line() -> None:
    seen = types.SimpleNamespace(
        view='memory_and_now',
        exact=False,
        first_stamp_ns=1_500_000_000,
        last_stamp_ns=9 * SECOND,
        frames=20,
        stamps_ns=(8 * SECOND, 9 * SECOND),
        height=392,
        width=448,
    )
    assert calls.evidence_line(types.SimpleNamespace(evidence=seen)) == (
        'memory_and_now: 20 frames from 1.500 to 9.000 s, the last 2 read afresh, '
        '448 x 392 pixels, not exact: older frames were evicted'
    )


def test_pictures_keep_their_shape(tmp_path: pathlib.Path) -> None:
    """Six small frames: two rows, each in its colours, its pixels enlarged."""
    frames = [np.full((54, 96, 3), (40 * i, 250 - 40 * i, 90), np.uint8) for i in range(6)]
    path = tmp_path / 'new' / 'sheet.png'
    write_pictures(path, 'now: 6 frames', [Note('What?', 'this', None)], frames, range(6))
    sheet = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    for i, frame in enumerate(frames):
        found = (sheet == frame[0, 0]).all(axis=2)
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (108, 192), i
        assert found.sum() == 108 * 192
    big = [np.zeros((720, 1280, 3), np.uint8)]
    write_pictures(path, 'now', [Note('What?', 'this', None)], big, [0.0])
    black = (cv2.imread(str(path)) == 0).all(axis=2)
    assert black.any(axis=1).sum() == 252 and black.any(axis=0).sum() == 448
    with pytest.raises(OSError, match=r'sheet\.png'):
        write_pictures(path / 'below', 'now', [Note('What?', 'this', None)], big, [0.0])
