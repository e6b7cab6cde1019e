# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a bag, of ROS 2 or ROS 1: opened one by one, with what is wrong with them.

A bag that was split, copied by hand or whose recorder was killed still has images in the files
that can be read.  metadata.yaml is not needed; if it exists, it says which files should be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import pathlib
import shutil
import sys
import tempfile

from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
import yaml

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

METADATA = 'metadata.yaml'
ENDINGS = ('.mcap', '.db3', '.bag')
COMPRESSED = ('.zstd', '.zst')
LARGEST = 1 << 30  # bytes of one message once it is decompressed
_ZSTD = b'\x28\xb5\x2f\xfd'  # how a frame of Zstandard begins; a serialized message begins with 0
_LFS = b'version https://git-lfs'
_MCAP, _MCAP_END = b'\x89MCAP0\r\n', -8
_SQLITE = b'SQLite format 3\0'
_ROS1 = b'#ROSBAG V'


class PartError(ValueError):
    """A file of a bag that cannot be read; `str(error)` names it and says why."""


@dataclasses.dataclass
class Part:
    """One open file of a bag."""

    path: pathlib.Path
    reader: Ros1Reader | Ros2Reader

    @property
    def is_ros1(self) -> bool:
        """Whether its messages are serialized as in ROS 1."""
        return isinstance(self.reader, Ros1Reader)


@dataclasses.dataclass
class Parts:
    """The readable files of a bag.

    Attributes:
        open: the files that can be read, in the order of their messages.
        faults: a sentence for each file that is missing or cannot be read.
        recorded: messages of each topic, by metadata.yaml; empty without that file.

    """

    open: list[Part] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)
    recorded: dict[str, int] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def open_parts(bag: pathlib.Path) -> Iterator[Parts]:
    """Open a bag's folder, or one file of it.

    Raises:
        PartError: there is no bag.

    """
    parts = Parts()
    files = _files(bag, parts)
    with contextlib.ExitStack() as stack:
        for file in files:
            try:
                parts.open.append(Part(file, _open(file, stack)))
            except PartError as error:
                parts.faults.append(str(error))
        parts.open.sort(key=lambda part: part.reader.start_time)
        yield parts


def reason(error: BaseException) -> str:
    """Return an error's text on one line, or its type's name if it has no text."""
    return (' '.join(str(error).split()).rstrip('.') or type(error).__name__)[:300]


def decompressed(raw: bytes | memoryview) -> bytes | memoryview:
    """Return a message that may have been compressed by itself (compression_mode: message).

    Raises:
        PartError: it is damaged, or too large.

    """
    if raw[:4] != _ZSTD:
        return raw
    try:
        message = zstd.ZstdDecompressor().decompress(raw, max_length=LARGEST + 1)
    except zstd.ZstdError as error:
        raise PartError(f'a compressed message is damaged ({error})') from error
    if len(message) > LARGEST:
        raise PartError(f'a compressed message is larger than {LARGEST} bytes')
    return message


def _files(bag: pathlib.Path, parts: Parts) -> Sequence[pathlib.Path]:
    """Return the files that should be there; fill `parts` from metadata.yaml."""
    if not bag.exists():
        raise PartError(f'There is no bag at {bag}.')
    if not bag.is_dir():
        return [bag]
    present = sorted(file for file in bag.iterdir() if _plain_name(file).endswith(ENDINGS))
    metadata = bag / METADATA
    if not metadata.is_file():
        if not present:
            raise PartError(
                f'{bag} cannot be read as a bag: it has no {METADATA} and no file that ends in '
                f'{", ".join(ENDINGS)}.'
            )
        if not all(file.suffix == '.bag' for file in present):
            parts.faults.append(f'{metadata} is missing; what is in the folder is read.')
        return present
    try:
        content = yaml.safe_load(metadata.read_text())['rosbag2_bagfile_information']
        names = [pathlib.PurePath(str(name)).name for name in content['relative_file_paths']]
        parts.recorded = {
            str(topic['topic_metadata']['name']): int(topic['message_count'])
            for topic in content['topics_with_message_count']
        }
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        why = ' '.join(f'{type(error).__name__}: {error}'.split())
        if not present:
            raise PartError(
                f'{metadata} cannot be read ({why:.200}), and no file of a bag is beside it.'
            ) from error
        parts.faults.append(
            f'{metadata} cannot be read ({why:.200}); what is in the folder is read.'
        )
        return present
    missing = [name for name in names if not (bag / name).exists()]
    if missing:
        parts.faults.append(
            f'{len(missing)} of {len(names)} files of {bag} are missing: {_listed(missing)}.'
        )
    return [bag / name for name in names if name not in missing]


def _open(file: pathlib.Path, stack: contextlib.ExitStack) -> Ros1Reader | Ros2Reader:
    """Open a file until the stack is left.

    Raises:
        PartError: it cannot be read.

    """
    try:
        plain = _plain_name(file)
        if plain != file.name:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            unpacked = pathlib.Path(folder, plain)
            with zstd.open(file, 'rb') as source, open(unpacked, 'wb') as target:
                shutil.copyfileobj(source, target)
            _check_beginning(unpacked, file)
            return _enter(unpacked, stack)
        _check_beginning(file, file)
        return _enter(file, stack)
    except PartError:
        raise
    except Exception as error:
        # Whatever a damaged file causes in the readers.
        raise PartError(f'{file} cannot be read as a bag: {reason(error)}.') from error


def _enter(file: pathlib.Path, stack: contextlib.ExitStack) -> Ros1Reader | Ros2Reader:
    if file.suffix == '.bag':
        return stack.enter_context(Ros1Reader(file))
    return stack.enter_context(Ros2Reader(file))


def _check_beginning(file: pathlib.Path, name: pathlib.Path) -> None:
    """Refuse a file by its first and last bytes, with a clearer sentence than a reader's."""
    with open(file, 'rb') as opened:
        start = opened.read(64)
        if not start:
            raise PartError(f'{name} is empty; nothing was recorded, or its copy was cut off.')
        if start.startswith(_LFS):
            raise PartError(f'{name} is the pointer of a file in Git LFS; run git lfs pull.')
        kind = {'.mcap': _MCAP, '.db3': _SQLITE, '.bag': _ROS1}.get(file.suffix)
        if kind is None:
            raise PartError(
                f'{name} cannot be read as a bag: give a folder, or a file that ends in '
                f'{", ".join(ENDINGS)}.'
            )
        if not start.startswith(kind):
            raise PartError(
                f'{name} cannot be read as a bag: it does not begin as such a file does.'
            )
        if file.suffix != '.mcap':
            return
        size = int.from_bytes(start[17:21], 'little')
        profile = start[21 : 21 + size].decode(errors='replace')
        if profile != 'ros2':
            raise PartError(
                f'{name} was not written by ROS 2 (the profile of the MCAP file is '
                f'{profile!r:.40}); convert it to a bag of ROS 2 first.'
            )
        opened.seek(max(_MCAP_END, -file.stat().st_size), 2)
        if opened.read() != _MCAP:
            raise PartError(
                f'{name} was not closed: its recorder was killed, or its copy was cut off. '
                '`mcap recover` makes a readable file of it.'
            )


def _plain_name(file: pathlib.Path) -> str:
    """Return a file's name without the ending of its compression."""
    return file.stem if file.suffix in COMPRESSED else file.name


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(names[:5])
    return shown if len(names) <= 5 else f'{shown} and {len(names) - 5} more'
