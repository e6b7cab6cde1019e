# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the KV cache fits its devices, asked before anything is allocated."""

from __future__ import annotations

import collections
from collections.abc import Sequence
import pathlib

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError

# The share of the available memory that the system and the model's passes need.
SPARE = 0.1
MEMINFO = pathlib.Path('/proc/meminfo')
# Limit and use of this control group, in its second version and its first.
CGROUPS = (
    (pathlib.Path('/sys/fs/cgroup/memory.max'), pathlib.Path('/sys/fs/cgroup/memory.current')),
    (
        pathlib.Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'),
        pathlib.Path('/sys/fs/cgroup/memory/memory.usage_in_bytes'),
    ),
)


def available_bytes(device: torch.device) -> int | None:
    """Return how much memory a device has left; None if the system does not say."""
    if device.type == 'cuda':
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != 'cpu':
        return None
    left = []
    for line in _text(MEMINFO).splitlines():
        if line.startswith('MemAvailable:'):
            left.append(int(line.split()[1]) * 1024)
    for limit, used in CGROUPS:
        bounds = _text(limit).strip(), _text(used).strip()
        if all(bound.isdecimal() for bound in bounds):
            left.append(max(0, int(bounds[0]) - int(bounds[1])))
    return min(left, default=None)


def room_for(
    layer_bytes: int, devices: Sequence[torch.device], taken: int = 0
) -> tuple[int | None, torch.device]:
    """Return for how many tokens there is room, and the device that has the least.

    Args:
        layer_bytes: bytes of one token's keys and values in one layer.
        devices: one for each layer.
        taken: bytes of each device that something else will have by then.

    Returns:
        The number of tokens; None where no device says how much memory it has.

    """
    fit: int | None = None
    tightest = devices[0]
    for device, layers in collections.Counter(devices).items():
        left = available_bytes(device)
        if left is None:
            continue
        room = max(0, int((left - taken) * (1 - SPARE))) // (layers * layer_bytes)
        if fit is None or room < fit:
            fit, tightest = room, device
    return fit, tightest


def check_fits(
    caches: Sequence[int],
    layer_bytes: int,
    devices: Sequence[torch.device],
    token_rate: float = 0.0,
    views: int = 0,
) -> None:
    """Refuse caches that do not fit together.

    Args:
        caches: tokens that each of them is to hold.
        layer_bytes: bytes of one token's keys and values in one layer.
        devices: one for each layer.
        token_rate: tokens per second of the stream at its largest frame size; 0: not known.
        views: tokens that the views of all of them have room for.

    Raises:
        StreamError: OUT_OF_MEMORY, saying how many tokens and seconds would fit.

    """
    slots = sum(caches) + views
    fit, tightest = room_for(layer_bytes, devices)
    if fit is not None and fit < slots:
        layers_on = collections.Counter(devices)
        where = 'the device'
        if len(layers_on) > 1:
            where = f'{tightest}, where {layers_on[tightest]} of {len(devices)} layers are'
        gigabytes = slots * layer_bytes * len(devices) / 1e9
        beside = f', with room for views of {views} tokens' if views else ''
        what = (
            f'A KV cache of {sum(caches)} tokens{beside}{"," * bool(views)} takes '
            f'{gigabytes:.2f} GB and does not fit {where}'
            if len(caches) == 1
            else f'The KV caches of {len(caches)} streams, {sum(caches)} tokens together{beside}, '
            f'take {gigabytes:.2f} GB and do not fit {where}'
        )
        fit = max(0, fit - views)
        seconds = (
            f', which is {fit / token_rate:.0f} s of the largest frames' if token_rate else ''
        )
        raise StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'{what}; {fit} tokens would fit{seconds}. Lower the capacity or the memory budget'
            f'{", or open_views" * bool(views)}.',
        )


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ''
