# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image bags, read and written without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import pathlib
import shutil
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from streamvlm_ros.client.errors import CommandError

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_SUFFIX = '/compressed'  # what image_transport puts behind the raw topic's name
_DEPTH = '/compressedDepth'  # of the same type, but no pictures
NANOSECONDS = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class ImageTopic:
    """A topic of a bag that has images, and where a node hears them."""

    name: str
    compressed: bool = False

    @property
    def base(self) -> str:
        """What the node's `image` is to be remapped to."""
        return (self.compressed and self.name.removesuffix(_SUFFIX)) or self.name

    @property
    def heard(self) -> str:
        """The topic that such a node subscribes to."""
        return f'{self.base}{_SUFFIX}' if self.compressed else self.name


def write_bag(
    folder: pathlib.Path,
    frames: Sequence[np.ndarray],
    stamps_ns: Sequence[int],
    topic: str,
    frame_id: str = 'camera',
) -> None:
    """Write an mcap bag of raw rgb8 images; one that is there already is replaced.

    Args:
        folder: the bag's folder.
        frames: RGB uint8 [h, w, 3] each.
        stamps_ns: header and bag times of the frames.
        topic: the topic they are recorded from.
        frame_id: of every header.

    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(topic, IMAGE, typestore=store)
        for frame, stamp_ns in zip(frames, stamps_ns):
            seconds, rest = divmod(stamp_ns, NANOSECONDS)
            stamp = types['builtin_interfaces/msg/Time'](seconds, rest)
            height, width, _ = frame.shape
            message = types[IMAGE](
                header=types['std_msgs/msg/Header'](stamp, frame_id),
                height=height,
                width=width,
                encoding='rgb8',
                is_bigendian=0,
                step=3 * width,
                data=np.ascontiguousarray(frame).reshape(-1),
            )
            writer.write(connection, stamp_ns, store.serialize_cdr(message, IMAGE))


def read_images(folder: pathlib.Path, topic: str = '') -> Iterator[Any]:
    """Yield a bag's image messages without their times of recording; see `read_recorded`."""
    return (message for _, message in read_recorded(folder, topic))


def read_recorded(folder: pathlib.Path, topic: str = '') -> Iterator[tuple[int, Any]]:
    """Yield a bag's image messages, raw or compressed, in the order of recording.

    Args:
        folder: a rosbag2 folder, or a ROS 1 bag.
        topic: which one; '': the only one that has images. One that was recorded both raw and
            compressed counts once, as raw.

    Yields:
        When a message was recorded, in nanoseconds, and the message.

    Raises:
        CommandError: there is no such bag or topic, or more than one to choose from.

    """
    with _open(folder) as reader:
        picked = _pick_topic(reader, folder, topic)
        connections = [c for c in reader.connections if c.topic == picked.name]
        for connection, recorded_ns, raw in reader.messages(connections):
            yield recorded_ns, reader.deserialize(raw, connection.msgtype)


def is_compressed(message: Any) -> bool:
    """Tell whether an image that `read_images` has yielded is a compressed one."""
    return message.__msgtype__ == COMPRESSED


def image_topic(folder: pathlib.Path, topic: str = '') -> ImageTopic:
    """Return the image topic of a bag, as `read_images` picks it; raises as that."""
    with _open(folder) as reader:
        return _pick_topic(reader, folder, topic)


@contextlib.contextmanager
def _open(folder: pathlib.Path) -> Iterator[AnyReader]:
    if not folder.exists():
        raise CommandError(f'There is no bag at {folder}.')
    try:
        with AnyReader([folder], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            yield reader
    except (AnyReaderError, ReaderError, OSError, ValueError) as error:
        raise CommandError(f'{folder} cannot be read as a bag: {error}.') from error


def _pick_topic(reader: AnyReader, folder: pathlib.Path, topic: str) -> ImageTopic:
    topics = {
        c.topic: ImageTopic(c.topic, c.msgtype == COMPRESSED)
        for c in reader.connections
        if c.msgtype in (IMAGE, COMPRESSED) and not c.topic.endswith(_DEPTH)
    }
    if topic:
        if topic in topics:
            return topics[topic]
        names = ', '.join(sorted(topics))
        raise CommandError(f'{folder} has no images on {topic}; it has: {names or "none"}.')
    # What was recorded raw too is not another camera.
    cameras = [t for t in topics.values() if t.base == t.name or t.base not in topics]
    if not cameras:
        raise CommandError(f'{folder} has no topic of type {IMAGE} or {COMPRESSED}.')
    if len(cameras) > 1:
        names = ', '.join(sorted(camera.name for camera in cameras))
        raise CommandError(f'{folder} has several image topics, give one as topic: {names}.')
    return cameras[0]
