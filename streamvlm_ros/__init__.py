# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Streaming video question answering for ROS 2: camera topic in, answers out."""

import logging
import pkgutil

from streamvlm_ros.moved import serve_old_names

# The interfaces (streamvlm_ros.msg, .srv, .action) are generated into the install space, in a
# package of this same name. Joining every folder of this name on sys.path makes them importable
# also where Python finds the source folder first, as it does in the root of the repository.
__path__ = pkgutil.extend_path(__path__, __name__)
serve_old_names()
# What a library's logger has: a program that sets up no logging gets no lines from it.
logging.getLogger(__name__).addHandler(logging.NullHandler())
