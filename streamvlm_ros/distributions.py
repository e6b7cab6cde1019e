# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between the ROS 2 distributions that this package runs on, in one place.

| | Humble | Jazzy | Kilted, Lyrical |
|---|---|---|---|
| Fast DDS | 2.6 | 2.14 | 3 |
| its profiles are named by | `FASTRTPS_...` | `FASTRTPS_...` | `FASTDDS_...` |
| who is found is limited by | `ROS_LOCALHOST_ONLY` | `ROS_AUTOMATIC_DISCOVERY_RANGE` | the same |
| `ROS_LOCALHOST_ONLY` is | the only way | honoured first, with a warning | not read |
| `autostart` of LifecycleNode (launch_ros) | no | yes | yes |
| an action's result is kept for (rclpy) | 900 s | 900 s | 10 s |
| a reply to a client that is gone | raises in the executor | is logged | is logged |
| a transition that the state does not allow | raises in its service | is refused | is refused |
| tf2_ros | of the distribution | of the distribution; no wheel on PyPI | the same as Jazzy |

The four rows before the last need nothing that depends on the distribution, only code that is
right in each: launching/lifecycle.py brings nodes up by events, the action says how long it keeps
a result, the node's executor counts what a callback raises and goes on, and nodes/transitions.py
refuses a transition that raises. Besides these, what is used of rclpy is the same in the sources
of Humble (3.3), Jazzy (7.1) and Kilted (9.1). Of Lyrical only the documentation of these
variables was read; nothing was run there.
"""

from __future__ import annotations

from collections.abc import MutableMapping
import pathlib
from typing import Any

# The variable that names the file of Fast DDS profiles: in Fast DDS 3, and before.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_WITH_FAST_DDS_2 = ('humble', 'iron', 'jazzy')
_DISCOVERY_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')


def set_profile(environment: MutableMapping[str, str], profile: pathlib.Path | None) -> None:
    """Name a file of Fast DDS profiles by the variable that the distribution knows.

    A file that the user has named stays. Where it is named by the other variable, which Fast DDS 2
    does not know, it is named by the right one too. Fast DDS 3 must not be given both: it would
    read the file twice, and refuse it the second time.
    """
    new, old = PROFILE_VARIABLES
    known = old if environment.get('ROS_DISTRO') in _WITH_FAST_DDS_2 else new
    own = environment.get(old) or environment.get(new)
    if own and known == old:
        environment[old] = own
    elif not own and profile is not None:
        environment[known] = str(profile)


def discovery_ranges(distribution: str) -> tuple[str, ...]:
    """Return how far processes can be told to look for others; `distribution`: ROS_DISTRO."""
    return _DISCOVERY_RANGES[:2] if distribution == 'humble' else _DISCOVERY_RANGES


def discovery_variables(name: str, distribution: str) -> dict[str, str]:
    """Return the variables that set one of `discovery_ranges(distribution)`."""
    if distribution == 'humble':
        return {'ROS_LOCALHOST_ONLY': '1' if name == 'LOCALHOST' else '0'}
    # In Jazzy the older variable counts more, wherever it is set.
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': name, 'ROS_LOCALHOST_ONLY': ''}


def listen_to_transforms(node: Any) -> Any | None:
    """Return a tf2 buffer that listens to /tf on a node; None: tf2_ros is not installed."""
    try:
        from tf2_ros import Buffer, TransformListener
    except ImportError:
        return None
    buffer = Buffer()
    # The buffer keeps its listener alive.
    buffer.listener = TransformListener(buffer, node)
    return buffer
