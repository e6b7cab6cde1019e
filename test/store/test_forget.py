# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is forgotten is gone: no file of the folder has a byte of it any more."""

from __future__ import annotations

import json
import pathlib
import struct

import cv2
import pytest
from support.store.scenes import picture, settings, stamp, wait

from streamvlm_ros.errors import InvalidRequestError
from streamvlm_ros.store import folder as folders
from streamvlm_ros.store.frames import FrameStore
from streamvlm_ros.store.moments import Pose, StoredAnswer
from streamvlm_ros.store.recorder import Recorder

FRAMES = 60
GONE = range(20, 35)


class Track:
    """A pose for each frame, whose numbers are found nowhere else."""

    def at(self, stamp_ns: int, frame_id: str) -> Pose | None:
        return pose(stamp_ns)

    def covers(self, stamp_ns: int, frame_id: str) -> bool:
        return True


def pose(stamp_ns: int) -> Pose:
    number = (stamp_ns - stamp(0)) // (stamp(1) - stamp(0))
    return Pose((1e6 + (number + 0.5) / 7, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), f'place_{number:04}')


def traces(number: int) -> dict[str, bytes]:
    """What of a frame is on the disk: its picture, frame_id, pose and the name of that frame."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, 95]
    jpeg = cv2.imencode('.jpg', cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR), flags)[1]
    x = pose(stamp(number)).position[0]
    return {
        # A part of it: a piece that is left would be found too.
        'jpeg': jpeg.tobytes()[900:932],
        'frame_id': f'secret_{number:04}'.encode(),
        'pose': struct.pack('<d', x),
        'pose in the index': struct.pack('>d', x),
        'place': f'place_{number:04}'.encode(),
    }


def content(folder: pathlib.Path) -> bytes:
    return b''.join(path.read_bytes() for path in sorted(folder.iterdir()))


def fill(folder: pathlib.Path) -> Recorder:
    recorder = Recorder(settings(folder), poses=Track())
    for number in range(FRAMES):
        recorder.put(picture(number), stamp(number), f'secret_{number:04}')
        if number % 10 == 9:
            text = json.dumps({'text': f'answer_{number:04}'})
            recorder.put_answer(StoredAnswer(text, stamp(number - 4), stamp(number)))
        wait(recorder)
    return recorder


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, 'LEAST_FILE_BYTES', 60_000)
    monkeypatch.setattr(folders, 'SHARE', 1 << 30)


def test_no_byte_is_left(tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    recorder = fill(folder)
    before = content(folder)
    # The search finds what is there.
    for number in range(FRAMES):
        for what, trace in traces(number).items():
            assert trace in before, (number, what)
    forgotten = recorder.forget(stamp(GONE[0]), stamp(GONE[-1])).result(60)
    after = content(folder)
    assert forgotten.frames == len(GONE) and forgotten.bytes > 10_000
    # The one about 25 to 29, and the one about 35 to 39 did not see any: 29 and 34 are within.
    assert forgotten.answers == 1
    for number in range(FRAMES):
        for what, trace in traces(number).items():
            assert (trace in after) == (number not in GONE), (number, what)
    assert b'answer_0029' not in after and b'answer_0039' in after
    left = [(m.stamp_ns, m.pose) for m in FrameStore(folder).moments()]
    wanted = [n for n in range(FRAMES) if n not in GONE]
    assert left == [(stamp(n), pose(stamp(n))) for n in wanted]
    assert recorder.close() and recorder.status().frames == len(wanted)
    assert len(FrameStore(folder).frames(0, 0, FRAMES)) == len(wanted)


def test_all_is_forgotten(tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    recorder = fill(folder)
    assert recorder.forget(0, 0).result(60).frames == FRAMES
    after = content(folder)
    assert not any(trace in after for n in range(FRAMES) for trace in traces(n).values())
    assert not folders.store_files(folder) and not (folder / 'metadata.yaml').exists()
    # Stored on.
    recorder.put(picture(70), stamp(70))
    wait(recorder)
    recorder.close()
    assert [m.stamp_ns for m in FrameStore(folder).moments()] == [stamp(70)]


def test_what_cannot_be_forgotten(tmp_path: pathlib.Path):
    recorder = Recorder(settings(tmp_path / 'store'))
    with pytest.raises(InvalidRequestError, match='is after until'):
        recorder.forget(stamp(5), stamp(2)).result(60)
    assert recorder.forget(stamp(0), stamp(2)).result(60).frames == 0
    recorder.close()
