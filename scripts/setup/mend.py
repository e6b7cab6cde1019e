# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the ROS 2 wheels that lie in a prefix fit to build packages with.

The wheels are made for running. Three things keep colcon from building on them; each mend can be
made twice.
"""

from __future__ import annotations

import pathlib
import re

_BUILDER_PREFIX = r'/opt/python/cp\d+-cp\d+'
_NUMPY = re.compile(_BUILDER_PREFIX + r'/lib/python[\d.]+/site-packages/numpy/_core/include')
_PYTHON = re.compile(_BUILDER_PREFIX + r'/include/python[\d.]+')


def mend_include_folders(prefix: pathlib.Path, python: str, numpy: str) -> None:
    """Replace the include folders of the machine that built the wheels by those of this one."""
    for file in prefix.glob('share/*/cmake/*.cmake'):
        text = file.read_text()
        mended = _PYTHON.sub(lambda _: python, _NUMPY.sub(lambda _: numpy, text))
        if mended != text:
            file.write_text(mended)


def mend_generator(prefix: pathlib.Path) -> None:
    """Let NumPy's headers be inside the source tree, as they are with .venv in the repository.

    CMake refuses to export a target with such an include folder. The users of the exported target
    do not need that folder, only its own compilation does.
    """
    file = prefix / 'share/rosidl_generator_py/cmake/rosidl_generator_py_generate_interfaces.cmake'
    text = file.read_text()
    folder = '${Python3_NumPy_INCLUDE_DIRS}'
    wrapped = f'$<BUILD_INTERFACE:{folder}>'
    if wrapped not in text:
        file.write_text(text.replace(folder, wrapped))


def write_prefix_scripts(prefix: pathlib.Path) -> None:
    """Write the scripts that colcon wants an underlay to have."""
    script = 'export AMENT_PREFIX_PATH="{}${{AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}}"\n'
    for name in ('local_setup.sh', 'setup.sh', 'local_setup.bash', 'setup.bash'):
        (prefix / name).write_text(script.format(prefix))
