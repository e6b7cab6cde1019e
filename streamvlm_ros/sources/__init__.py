# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames with their times from files, cameras and networks; needs no ROS and no torch."""

from streamvlm_ros.errors import SourceError
from streamvlm_ros.versions import check_versions, VIDEO

check_versions(VIDEO)

from streamvlm_ros.sources.opening import open_source  # noqa: E402  PyAV is needed from here on
from streamvlm_ros.sources.record import SourceStatus  # noqa: E402
from streamvlm_ros.sources.source import Source  # noqa: E402

__all__ = ['open_source', 'Source', 'SourceError', 'SourceStatus']
