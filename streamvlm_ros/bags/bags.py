# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image bags, read and written without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import pathlib
import shutil
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from streamvlm_ros.bags.parts import (
    decompressed,
    open_parts,
    Part,
    PartError,
    Parts,
    reason,
)
from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import NANOSECONDS

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_SUFFIX = '/compressed'  # what image_transport appends to the raw topic's name
_DEPTH = '/compressedDepth'  # of the same type, but no pictures
MOST_LISTED = 8  # topics of a sentence
# Image messages are the same in all distributions; other types in a bag may be anything.
_ROS2, _ROS1 = get_typestore(Stores.ROS2_HUMBLE), get_typestore(Stores.ROS1_NOETIC)


@dataclasses.dataclass(frozen=True)
class ImageTopic:
    """A topic of a bag that has images, and the topic on which a node receives them."""

    name: str
    compressed: bool = False
    messages: int = dataclasses.field(default=0, compare=False)  # in the files that can be read

    @property
    def base(self) -> str:
        """The topic that the node's `image` has to be remapped to."""
        return (self.compressed and self.name.removesuffix(_SUFFIX)) or self.name

    @property
    def heard(self) -> str:
        """The topic that this node then subscribes to."""
        return f'{self.base}{_SUFFIX}' if self.compressed else self.name


def write_bag(
    folder: pathlib.Path,
    frames: Sequence[np.ndarray],
    stamps_ns: Sequence[int],
    topic: str,
    frame_id: str = 'camera',
) -> None:
    """Write an mcap bag of raw rgb8 images; replace an existing one.

    Args:
        folder: the bag's folder.
        frames: RGB uint8 [h, w, 3] each.
        stamps_ns: header and bag times of the frames.
        topic: the topic they are recorded from.
        frame_id: of every header.

    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    types = _ROS2.types
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(topic, IMAGE, typestore=_ROS2)
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
            writer.write(connection, stamp_ns, _ROS2.serialize_cdr(message, IMAGE))


@dataclasses.dataclass
class ImageBag:
    """The images of one topic of a bag that is open.

    Attributes:
        topic: the topic on which they were recorded.
        faults: a sentence for each file that is missing or cannot be read, and, as the messages
            are read, for each that ends early.
        missing: images that were recorded and that no file has, as far as that was counted.
        damaged: messages read so far that are not image messages.
        last_damage: what was wrong with the last of them.

    """

    topic: ImageTopic
    faults: list[str]
    missing: int
    _parts: Parts
    damaged: int = 0
    last_damage: str = ''

    def recorded(self) -> Iterator[tuple[int, Any]]:
        """Yield when each message was recorded, in nanoseconds, and the message, in that order."""
        for part in self._parts.open:
            connections = [c for c in part.reader.connections if self._is_mine(c)]
            left = sum(c.msgcount for c in connections)
            if not connections:
                continue
            try:
                for _, recorded_ns, raw in part.reader.messages(connections):
                    left -= 1
                    message = self._read(part, raw)
                    if message is not None:
                        yield recorded_ns, message
            except Exception as error:
                # Whatever a damaged chunk or page causes in the reader.
                self.faults.append(f'{part.path} cannot be read to its end: {reason(error)}.')
                self.missing += max(left, 0)

    def _is_mine(self, connection: Any) -> bool:
        kind = COMPRESSED if self.topic.compressed else IMAGE
        return connection.topic == self.topic.name and _full_name(connection.msgtype) == kind

    def _read(self, part: Part, raw: bytes | memoryview) -> Any | None:
        """Return a message; None, and counted as damaged, if it is not one."""
        kind = COMPRESSED if self.topic.compressed else IMAGE
        try:
            data = decompressed(raw)
            if part.is_ros1:
                return _ROS1.deserialize_ros1(data, kind)
            return _ROS2.deserialize_cdr(data, kind)
        except Exception as error:
            # Whatever a damaged message causes in its reader.
            self.damaged += 1
            self.last_damage = f'A message in {part.path} is damaged: {reason(error)}.'
            return None


@contextlib.contextmanager
def open_images(bag: pathlib.Path, topic: str = '') -> Iterator[ImageBag]:
    """Open the images of a bag of ROS 2 or ROS 1, raw or compressed.

    Args:
        bag: its folder, or one file.
        topic: which one; '': the only one that has images. One that was recorded both raw and
            compressed counts once, as raw.

    Raises:
        CommandError: there is no such bag or topic, several topics to choose from, or no file
            can be read.

    """
    try:
        with open_parts(bag) as parts:
            if not parts.open:
                raise CommandError(' '.join(parts.faults))
            picked = _pick_topic(parts, bag, topic)
            missing = max(0, parts.recorded.get(picked.name, 0) - picked.messages)
            yield ImageBag(picked, parts.faults, missing, parts)
    except PartError as error:
        raise CommandError(str(error)) from error


def read_images(bag: pathlib.Path, topic: str = '') -> Iterator[Any]:
    """Yield a bag's image messages without their times of recording; see `read_recorded`."""
    return (message for _, message in read_recorded(bag, topic))


def read_recorded(bag: pathlib.Path, topic: str = '') -> Iterator[tuple[int, Any]]:
    """Yield what can be read of a bag's images; see `ImageBag.recorded` and `open_images`."""
    with open_images(bag, topic) as images:
        yield from images.recorded()


def is_compressed(message: Any) -> bool:
    """Tell whether an image that `read_images` has yielded is a compressed one."""
    return message.__msgtype__ == COMPRESSED


def image_topic(bag: pathlib.Path, topic: str = '') -> ImageTopic:
    """Return the image topic of a bag, as `read_images` picks it; raises as that."""
    with open_images(bag, topic) as images:
        return images.topic


def _full_name(msgtype: str) -> str:
    """Return the name of a type with `/msg/`, which some recorders leave out."""
    package, separator, name = msgtype.partition('/')
    return f'{package}/msg/{name}' if separator and '/' not in name else msgtype


def _pick_topic(parts: Parts, bag: pathlib.Path, topic: str) -> ImageTopic:
    kinds: dict[str, str] = {}
    counts: dict[str, int] = {}
    for part in parts.open:
        for c in part.reader.connections:
            kinds[c.topic] = _full_name(c.msgtype)
            counts[c.topic] = counts.get(c.topic, 0) + c.msgcount
    topics = {
        name: ImageTopic(name, kind == COMPRESSED, counts[name])
        for name, kind in kinds.items()
        if kind in (IMAGE, COMPRESSED) and not name.endswith(_DEPTH)
    }
    if topic:
        if topic in topics:
            return topics[topic]
        raise CommandError(f'{bag} has no images on {topic}; it has: {_listed(kinds, counts)}.')
    # A topic that was recorded raw too is not another camera.
    cameras = [t for t in topics.values() if t.base == t.name or t.base not in topics]
    if not cameras:
        raise CommandError(
            f'{bag} has no topic of type {IMAGE} or {COMPRESSED}; it has: '
            f'{_listed(kinds, counts)}.'
        )
    if len(cameras) > 1:
        names = ', '.join(sorted(camera.name for camera in cameras))
        raise CommandError(f'{bag} has several image topics, give one as topic: {names}.')
    return cameras[0]


def _listed(kinds: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """Return topics with their types and numbers of messages, those with images first."""
    names = sorted(kinds, key=lambda name: (kinds[name] not in (IMAGE, COMPRESSED), name))
    shown = [f'{name} ({counts[name]} {kinds[name]})' for name in names[:MOST_LISTED]]
    rest = len(names) - len(shown)
    return ', '.join(shown) + (f' and {rest} more topics' if rest else '') or 'no topic'
