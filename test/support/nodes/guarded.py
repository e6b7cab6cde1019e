# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bytes that no read may pass the end of."""

from __future__ import annotations

import ctypes
import mmap


def guarded(data: bytes) -> memoryview:
    """Return bytes with memory behind them that ends the process when it is read."""
    page = mmap.PAGESIZE
    room = -(-len(data) // page) * page
    memory = mmap.mmap(-1, room + page)
    memory[room - len(data) : room] = data
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    none = 0  # PROT_NONE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + room), page, none) == 0
    return memoryview(memory)[:room]
