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
import triton
import triton.language as tl

# Bytes of shared memory that a program may have: 99 KB on the RTX cards, 163 KB on the A100 and
# Jetson Orin, 227 KB on the H100 and Jetson Thor.  Of unlike cards what all of them can do.
_CARDS: list[Any] = [
    torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())
]
SHARED: int = min((card.shared_memory_per_block_optin for card in _CARDS), default=99 * 1024)
ROOMY = SHARED >= 200_000
PDL: bool = bool(_CARDS) and all(card.major >= 9 for card in _CARDS)
# Its matrix units run beside everything else: attention/hopper.py.
HOPPER: bool = bool(_CARDS) and all(card.major == 9 for card in _CARDS)
# Its matrix units want some of the shared memory for themselves: 4 KB with tiles of 128 by 128.
BLACKWELL = any(card.major >= 10 for card in _CARDS)
# Depths of the software pipelines that this has room for.
STAGES = 3 if ROOMY else 2
MOST_STAGES = 8 if ROOMY else 2


def launch_options() -> dict[str, Any]:
    """Return the launch's options for a kernel that waits by itself."""
    return {'launch_pdl': True} if PDL else {}


@triton.jit
def prefetch(pointers):
    """Ask for the cache lines that int64 pointers lie in; nothing waits for them."""
    tl.inline_asm_elementwise(
        'prefetch.global.L2 [$1]; mov.u32 $0, 0;',
        '=r,l',
        [pointers.to(tl.int64)],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
