# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the files of the store, complete or cut off anywhere."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import io
import os
import pathlib
import struct

import cv2
from mcap.exceptions import McapError
from mcap.records import Chunk, Footer, Message, Metadata
from mcap.stream_reader import breakup_chunk, CRCValidationError, StreamReader
import numpy as np

from streamvlm_ros.store import messages
from streamvlm_ros.store.bag_file import ANSWER, EPOCH, IMAGE, POSE, read_epoch, VERSION
from streamvlm_ros.store.moments import Epoch, Pose, StoredAnswer, StoreError

LONGEST_RECORD = 1 << 28  # bytes; a longer one is damage
# What damaged bytes cause in mcap and rosbags.
DAMAGE = (
    McapError, CRCValidationError, struct.error, ValueError, KeyError, IndexError, TypeError,
    OverflowError, AssertionError, AttributeError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Chunked:
    """The messages of one chunk of the store: a frame with its pose, or an answer.

    Attributes:
        offset: of the chunk in the file.
        wall_ns: when it was recorded.
        stamp_ns: of the frame; of the newest frame that the answer saw.
        epoch: which epoch it is of.
        contents: channel and bytes of each message.
        frame_id: of the frame.
        pose: of the frame.
        answer: the answer; None: it is a frame.

    """

    offset: int
    wall_ns: int
    stamp_ns: int
    epoch: Epoch
    contents: list[tuple[int, bytes]]
    frame_id: str = ''
    pose: Pose | None = None
    answer: StoredAnswer | None = None


@dataclasses.dataclass
class Scan:
    """A file that is read from its beginning.

    Attributes:
        complete: its end was reached: the file was closed, and is a bag as it is.
        damaged: chunks that were left out because their checksum was wrong.

    """

    path: pathlib.Path
    complete: bool = False
    damaged: int = 0

    def chunks(self) -> Iterator[Chunked]:
        """Yield what can be read, up to where the file was cut off.

        Raises:
            StoreError: a newer program has written the file.
            OSError: it cannot be read.

        """
        epoch = Epoch(0)
        with (
            self.path.open('rb') as file,
            contextlib.suppress(*DAMAGE),
        ):
            reader = StreamReader(file, emit_chunks=True, record_size_limit=LONGEST_RECORD)
            offset = len(b'\x89MCAP0\r\n')
            for record in reader.records:
                if isinstance(record, Metadata) and record.name == EPOCH:
                    check_version(record.metadata.get('version', ''), self.path)
                    epoch = read_epoch(record.metadata)
                elif isinstance(record, Chunk):
                    try:
                        found = _read_chunk(record, offset, epoch)
                    except DAMAGE:
                        self.damaged += 1
                    else:
                        yield found
                elif isinstance(record, Footer):
                    self.complete = True
                offset = file.tell()


def check_version(text: str, path: pathlib.Path) -> None:
    """Refuse what another version of the store has written.

    Raises:
        StoreError: the version is not this one's.

    """
    if text != str(VERSION):
        raise StoreError(
            f'{path} is of version {text or "?"} of the store, and this program writes version '
            f'{VERSION}: give another folder as store_folder.'
        )


def read_frame(path: pathlib.Path, offset: int, stamp_ns: int) -> np.ndarray | None:
    """Return the frame of a chunk, RGB uint8 [h, w, 3]; None: it is not there any more.

    Args:
        path: the file.
        offset: of the chunk.
        stamp_ns: of the frame, which has to be right.

    """
    try:
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
            head = file.read(9)
            length = struct.unpack('<xQ', head)[0]
            if length > min(size - offset, LONGEST_RECORD):
                return None
            data = head + file.read(length)
        reader = StreamReader(io.BytesIO(data), skip_magic=True, emit_chunks=True)
        chunk = next(iter(reader.records))
        if not isinstance(chunk, Chunk):
            return None
        (image,) = (data for channel, data in _messages(chunk) if channel == IMAGE)
        found_ns, _, jpeg = messages.read_image(image)
    except (OSError, StopIteration, *DAMAGE):
        return None
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR) if found_ns == stamp_ns else None
    return None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _messages(chunk: Chunk) -> list[tuple[int, bytes]]:
    return [
        (record.channel_id, record.data)
        for record in breakup_chunk(chunk, validate_crc=True)
        if isinstance(record, Message)
    ]


def _read_chunk(chunk: Chunk, offset: int, epoch: Epoch) -> Chunked:
    contents = _messages(chunk)
    wall_ns = chunk.message_start_time
    by_channel = dict(contents)
    if ANSWER in by_channel:
        answer = messages.read_answer(by_channel[ANSWER])
        return Chunked(offset, wall_ns, answer.last_ns, epoch, contents, answer=answer)
    stamp_ns, frame_id, _ = messages.read_image(by_channel[IMAGE])
    pose = messages.read_pose(by_channel[POSE])[1] if POSE in by_channel else None
    return Chunked(offset, wall_ns, stamp_ns, epoch, contents, frame_id, pose)
