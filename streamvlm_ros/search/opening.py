# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which index an address means."""

from __future__ import annotations

import os

from streamvlm_ros.search.milvus_index import MilvusMomentIndex
from streamvlm_ros.search.moments import MomentIndex
from streamvlm_ros.search.sqlite_index import SqliteMomentIndex

SERVERS = ('http://', 'https://', 'tcp://', 'unix:')
EMBEDDED = 'milvus:'


def open_index(where: str | os.PathLike[str], fingerprint: str, dimensions: int) -> MomentIndex:
    """Open an index of moments, or make it.

    Args:
        where: the path of a file; 'http://host:19530' and the like for a Milvus server, which
            several robots can share; 'milvus:/path/index.db' for Milvus Lite.
        fingerprint: of what makes the vectors.
        dimensions: numbers of a vector.

    Raises:
        StreamError: INVALID_REQUEST, FILE_ERROR; see ``SqliteMomentIndex``, ``MilvusMomentIndex``.

    """
    name = os.fspath(where)
    if name.startswith(SERVERS):
        return MilvusMomentIndex(name, fingerprint, dimensions)
    if name.startswith(EMBEDDED):
        return MilvusMomentIndex(name.removeprefix(EMBEDDED), fingerprint, dimensions)
    return SqliteMomentIndex(name, fingerprint, dimensions)
