# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random messages on the node's own way: each becomes a frame or a sentence, nothing else ever."""

from __future__ import annotations

from collections.abc import Callable
import random
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from support.nodes.guarded import guarded
from support.nodes.image_vectors import RawImage

pytest.importorskip('builtin_interfaces', reason='ROS is not installed: run make test')

from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.encodings import ENCODINGS
from streamvlm_ros.nodes.images.image_decoder import Decoder
from streamvlm_ros.nodes.images.images import decode_image

MESSAGES = 10_000
TIME = 300.0
HEADER = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id='camera')
NOISE = np.random.default_rng(1).integers(0, 256, 20_480, np.uint8).tobytes()
SIZES = [0, 1, 2, 3, 4, 7, 16, 33, 2**32 - 1]


DATA = guarded(NOISE)


def raw_message(rng: random.Random) -> RawImage:
    width, height = rng.choice(SIZES), rng.choice(SIZES)
    steps = [0, 1, width, 2 * width, 3 * width, 4 * width + 3, 12 * width, 2**32 - 1]
    length = rng.choice([0, 1, 12, 500, 4000, 20_000])
    return RawImage(
        width=width,
        height=height,
        encoding=rng.choice([*ENCODINGS, '16UC1', 'jpeg', '', 'rgb8\0', 'RGB8', '8UC7']),
        step=rng.choice(steps),
        data=DATA[len(DATA) - length :],
        is_bigendian=rng.choice([0, 1, 255]),
    )


def files() -> list[bytes]:
    rgb = np.random.default_rng(7).integers(0, 256, (6, 5, 3), np.uint8)
    grey = rgb[..., 0]
    kinds = [('.jpg', rgb), ('.jpg', grey), ('.png', rgb), ('.png', grey)]
    kinds.append(('.png', rgb.astype(np.uint16) * 257))
    return [cv2.imencode(ending, picture)[1].tobytes() for ending, picture in kinds]


FILES = files()
FORMATS = ['jpeg', 'png', '', 'rgb8; jpeg compressed bgr8', 'bayer_grbg8; png compressed ', '\0;;']


def compressed_message(rng: random.Random) -> Any:
    data = bytearray(rng.choice([*FILES, NOISE[:200]]))
    for _ in range(rng.choice([0, 1, 3])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    end = rng.choice([len(data), rng.randrange(len(data))])
    return SimpleNamespace(format=rng.choice(FORMATS), data=bytes(data[:end]))


class Worker:
    """Counts what the decoder hands on."""

    def __init__(self) -> None:
        self.frames = 0
        self.faults: list[str] = []
        self.all_done = threading.Event()

    def leave_out(self, stamp_ns: int) -> bool:
        return False

    def submit_frame(self, frame: Any, stamp_ns: int, frame_id: str) -> None:
        self.frames += 1
        self._count()

    def count_failed(self, message: str) -> None:
        self.faults.append(message)
        self._count()

    def _count(self) -> None:
        if self.frames + len(self.faults) == MESSAGES:
            self.all_done.set()


@pytest.mark.parametrize(
    ('make', 'decode'), [(raw_message, decode_image), (compressed_message, decode_compressed)]
)
def test_fuzz(make: Callable[[random.Random], Any], decode: Callable[[Any], Any]) -> None:
    def checked(msg: Any) -> Any:
        frame = decode(msg)
        assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        assert frame.flags.c_contiguous and not np.shares_memory(frame, np.frombuffer(DATA, 'u1'))
        if isinstance(msg, RawImage):
            assert frame.shape[:2] == (msg.height, msg.width)
        return frame

    rng, worker = random.Random(20260), Worker()
    caught = Faults(lambda _: None)
    made = Decoder(worker, checked, lambda _: None, caught, 1 << 40, lambda *_: None)  # type: ignore[arg-type]
    for _ in range(MESSAGES):
        message = make(rng)
        message.header = HEADER
        made.put(message)
    assert worker.all_done.wait(TIME)
    made.close()
    assert not caught.count  # what is wrong with a message is a sentence, not an exception
    assert all(fault.endswith('.') and fault.isprintable() for fault in worker.faults)
    assert min(worker.frames, len(worker.faults)) > 500  # both ways are walked


def test_the_guard_works() -> None:
    """Without it the fuzz would not see a read behind the end."""
    code = (
        'import sys, ctypes\nfrom support.nodes.guarded import guarded\n'
        'data = guarded(bytes(20_480))\n'
        'address = ctypes.addressof(ctypes.c_char.from_buffer(data))\n'
        'ctypes.string_at(address + len(data) - 1, int(sys.argv[1]))\n'
    )
    ends = [
        subprocess.run([sys.executable, '-c', code, count], capture_output=True).returncode
        for count in ('1', '2')
    ]
    assert ends == [0, -signal.SIGSEGV]
