# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One MCAP file of the store, while it is written.

Each frame is a chunk of its own, which is handed to the system at once: a process that is killed
loses what was not handed over yet, and leaves a file whose chunks are whole up to there.
"""

from __future__ import annotations

import contextlib
import os
import pathlib

from mcap.writer import CompressionType, Writer

from streamvlm_ros.store import messages
from streamvlm_ros.store.messages import Topics
from streamvlm_ros.store.moments import Epoch, Pose, StoredAnswer

VERSION = 1  # of what is in the files; it is raised when older programs could not read them
EPOCH = 'streamvlm_store'  # name of the metadata record before the messages of an epoch
# Channels, in the order in which they are registered.
IMAGE, POSE, ANSWER = 1, 2, 3


class BagFile:
    """Writes messages into a new file.

    Attributes:
        path: the file.
        frames: how many it has.

    """

    def __init__(self, path: pathlib.Path, topics: Topics) -> None:
        """Begin the file; only its owner may read it.

        Raises:
            OSError: it exists, or cannot be written.

        """
        self.path = path
        self.frames = 0
        self._epoch: Epoch | None = None
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, 'wb')
        # A JPEG does not become smaller.
        self._writer = Writer(self._file, chunk_size=1 << 40, compression=CompressionType.NONE)
        self._writer.start(profile='ros2', library='streamvlm_ros')
        for topic, kind in topics.types():
            definition = messages.definition(kind).encode()
            schema = self._writer.register_schema(kind, 'ros2msg', definition)
            # rosbag2 looks for this key; empty: the publishers' QoS is not known.
            self._writer.register_channel(topic, 'cdr', schema, {'offered_qos_profiles': ''})
        self._file.flush()

    @property
    def length(self) -> int:
        """How long the file is."""
        return self._file.tell()

    @property
    def is_gone(self) -> bool:
        """Whether the file was removed by someone else."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def write_frame(
        self,
        stamp_ns: int,
        wall_ns: int,
        frame_id: str,
        jpeg: bytes,
        epoch: Epoch,
        pose: Pose | None,
    ) -> int:
        """Write a frame, and before it its pose.

        Returns:
            The offset of its chunk.

        Raises:
            OSError: the disk is full or gone; the file must be given up.

        """
        contents = [(IMAGE, messages.image_bytes(stamp_ns, frame_id, jpeg))]
        if pose is not None:
            contents.insert(0, (POSE, messages.pose_bytes(stamp_ns, pose)))
        return self.write_chunk(contents, wall_ns, stamp_ns, epoch)

    def write_answer(self, answer: StoredAnswer, wall_ns: int, epoch: Epoch) -> int:
        """Write an answer; otherwise as `write_frame`."""
        data = messages.answer_bytes(answer)
        return self.write_chunk([(ANSWER, data)], wall_ns, answer.last_ns, epoch)

    def write_chunk(
        self,
        contents: list[tuple[int, bytes]],
        wall_ns: int,
        stamp_ns: int,
        epoch: Epoch,
    ) -> int:
        """Write serialized messages as one chunk.

        Args:
            contents: channel and bytes of each.
            wall_ns: when they were recorded.
            stamp_ns: when they were published.
            epoch: which one they are of.

        Returns:
            The chunk's offset in the file.

        """
        if epoch != self._epoch:
            self._writer.add_metadata(EPOCH, _epoch_fields(epoch))
            self._epoch = epoch
        offset = self.length
        for channel, data in contents:
            self._writer.add_message(channel, wall_ns, data, stamp_ns, sequence=self.frames)
            self.frames += channel == IMAGE
        self._writer.flush()
        return offset

    def close(self) -> None:
        """Write the summary, which makes the file complete, and wait for the disk.

        Raises:
            OSError: as `write_frame`.

        """
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Give the file up as it is; what is not on the disk is lost."""
        # Closing would try once more to write what could not be written.
        with contextlib.suppress(OSError):
            self._file.raw.close()
        with contextlib.suppress(OSError, ValueError):
            self._file.close()


def _epoch_fields(epoch: Epoch) -> dict[str, str]:
    return {
        'version': str(VERSION),
        'epoch': str(epoch.number),
        'stream_epoch': str(epoch.stream_epoch),
        'clock': epoch.clock,
        'zone': epoch.zone,
        'utc_offset': str(epoch.utc_offset),
    }


def read_epoch(fields: dict[str, str]) -> Epoch:
    """Return the epoch of a metadata record; raises KeyError or ValueError for a damaged one."""
    clock = fields['clock']
    if clock not in ('wall', 'sim', 'ros'):
        raise ValueError(f'no clock is called {clock!r}')
    return Epoch(
        int(fields['epoch']),
        int(fields['stream_epoch']),
        clock,  # type: ignore[arg-type]
        fields['zone'],
        int(fields['utc_offset']),
    )
