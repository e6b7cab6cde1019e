# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml of the store's folder: which files are complete, as rosbag2 wants to know it."""

from __future__ import annotations

from collections.abc import Sequence
import os
import pathlib
from typing import Any

import yaml

from streamvlm_ros.store import messages
from streamvlm_ros.store.bag_file import VERSION
from streamvlm_ros.store.messages import Topics
from streamvlm_ros.store.moments import StoreError
from streamvlm_ros.store.scan import check_version

NAME = 'metadata.yaml'
ROSBAG2_VERSION = 8  # the newest in which QoS is a text, which Humble can read too
_MARK = 'streamvlm_store'  # the key of custom_data that says that the bag is a store


def write_metadata(
    folder: pathlib.Path, topics: Topics, files: Sequence[tuple[str, int, int, int, int, int]]
) -> None:
    """Write what a folder's complete files have; remove the file if there are none.

    Args:
        folder: of the store.
        topics: of its messages.
        files: name, first and last wall time, frames, poses and answers of each.

    Raises:
        OSError: it cannot be written; the old one is as it was.

    """
    path = folder / NAME
    if not files:
        path.unlink(missing_ok=True)
        return
    first = min(start for _, start, _, _, _, _ in files)
    counts = [sum(numbers) for numbers in zip(*(counted for _, _, _, *counted in files))]
    content = {
        'version': ROSBAG2_VERSION,
        'storage_identifier': 'mcap',
        'duration': {'nanoseconds': max(end for _, _, end, _, _, _ in files) - first},
        'starting_time': {'nanoseconds_since_epoch': first},
        'message_count': sum(counts),
        'topics_with_message_count': [
            {'topic_metadata': _topic(name, kind), 'message_count': count}
            for (name, kind), count in zip(topics.types(), counts)
        ],
        'compression_format': '',
        'compression_mode': '',
        'relative_file_paths': [name for name, *_ in files],
        'files': [
            {
                'path': name,
                'starting_time': {'nanoseconds_since_epoch': start},
                'duration': {'nanoseconds': end - start},
                'message_count': sum(counted),
            }
            for name, start, end, *counted in files
        ],
        'custom_data': {_MARK: str(VERSION)},
        'ros_distro': '',
    }
    part = folder / f'{NAME}.part'
    text = yaml.safe_dump({'rosbag2_bagfile_information': content}, sort_keys=False)
    part.write_text(text, encoding='utf-8')
    part.chmod(0o600)
    os.replace(part, path)


def check_metadata(folder: pathlib.Path) -> None:
    """Look whether a folder may be a store, so that no other bag is written over.

    Raises:
        StoreError: another bag is in it, or a store of another version.

    """
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    try:
        content = yaml.safe_load(data)
        custom = content['rosbag2_bagfile_information'].get('custom_data') or {}
        version = custom.get(_MARK)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        if not data.strip(b'\0\n ') or data.startswith(b'rosbag2_bagfile_information'):
            return  # torn: it is written anew
        raise StoreError(
            f'{path} is not of a bag; give an empty folder, or a new one, as store_folder.'
        ) from None
    if version is None:
        raise StoreError(
            f'{folder} has another bag; give an empty folder, or a new one, as store_folder.'
        )
    check_version(str(version), path)


def _topic(name: str, kind: str) -> dict[str, Any]:
    return {
        'name': name,
        'type': kind,
        'serialization_format': 'cdr',
        'offered_qos_profiles': '',
        'type_description_hash': messages.digest(kind),
    }
