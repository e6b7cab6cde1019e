# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Launch options: on Hopper and later, a kernel starts before the one before it has ended.

With programmatic dependent launch, a kernel's blocks start while the kernel before it still runs.
They load what does not depend on that kernel and then wait. Every kernel that is launched this way
waits before it reads what another kernel has written.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

# Bytes of shared memory that a program may have: 99 KB on the RTX cards, 163 KB on the A100 and
# Jetson Orin, 227 KB on the H100 and Jetson Thor.  With different cards: the least of them.
_CARDS: list[Any] = [
    torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())
]
SHARED: int = min((card.shared_memory_per_block_optin for card in _CARDS), default=99 * 1024)
ROOMY = SHARED >= 200_000
PDL: bool = bool(_CARDS) and all(card.major >= 9 for card in _CARDS)
# Its matrix units run asynchronously: attention/hopper.py.
HOPPER: bool = bool(_CARDS) and all(card.major == 9 for card in _CARDS)
# Its matrix units use some of the shared memory: 4 KB with tiles of 128 by 128.
BLACKWELL = any(card.major >= 10 for card in _CARDS)
# Depths of the software pipelines that fit.
STAGES = 3 if ROOMY else 2
MOST_STAGES = 8 if ROOMY else 2


def launch_options() -> dict[str, Any]:
    """Return the launch options of a kernel that waits by itself."""
    return {'launch_pdl': True} if PDL else {}


@triton.jit
def prefetch(pointers):
    """Prefetch the cache lines of int64 pointers, without waiting."""
    tl.inline_asm_elementwise(
        'prefetch.global.L2 [$1]; mov.u32 $0, 0;',
        '=r,l',
        [pointers.to(tl.int64)],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
