# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How kernels follow one another: on Hopper and later, the next begins before the last has ended.

With programmatic dependent launch a kernel's blocks come up while the one before still runs; it
loads what does not depend on that and then waits.  Every kernel here that takes part waits before
it reads what another has written.
"""

from __future__ import annotations

from typing import Any

import torch

_HOPPER = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 9
PDL = _HOPPER
# Depth of the software pipeline: what the shared memory of a multiprocessor has room for.
STAGES = 3 if _HOPPER else 2


def launch_options() -> dict[str, Any]:
    """Return the launch's options for a kernel that waits by itself."""
    return {'launch_pdl': True} if PDL else {}
