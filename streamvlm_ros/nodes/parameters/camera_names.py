# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter `cameras`: names with commas between them. No ROS here.

One text and not a list, because ROS parameters know no empty list; a YAML file may give a list.
"""

from __future__ import annotations

import re

from streamvlm_ros.nodes.parameters.parameter import ParameterError

_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)


def parse_names(text: str) -> list[str]:
    """Return the cameras' names, which are namespaces; empty: the process has one stream.

    Raises:
        ParameterError: a name is not a namespace, or is there twice.

    """
    names = [name.strip() for name in text.split(',') if name.strip()]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f"The parameter 'cameras' names {name!r}, which is not a namespace: use letters, "
                "digits and _, a letter first, as in 'front, rear'."
            )
        if names.count(name) > 1:
            raise ParameterError(f"The parameter 'cameras' names {name!r} twice.")
    return names
