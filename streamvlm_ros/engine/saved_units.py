# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a cache is made of, as tensors and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools

import torch

from streamvlm_ros.engine.attention import KeysValues
from streamvlm_ros.engine.cache import StreamCache
from streamvlm_ros.engine.saved_file import Entry
from streamvlm_ros.engine.units import Kind, Label, Unit

# A unit's row in the file: tokens, first, kind (its place here), group, time_ns, stamp_ns, frame.
KINDS = (Kind.TEXT, Kind.PREFIX, Kind.MARK, Kind.PATCH, Kind.TURN)
COLUMNS = 7


def cache_entries(cache: StreamCache) -> dict[str, Entry]:
    """Return what is cached: the table of units, positions, and every layer's keys and values.

    Free slots are not written: a token's place in the file is its place in the stream.
    """
    table = torch.tensor([
        [unit.tokens, unit.first, KINDS.index(unit.label.kind), unit.label.group,
         unit.label.time_ns, unit.label.stamp_ns, unit.label.frame]
        for unit in cache.units], dtype=torch.int64).view(-1, COLUMNS)
    slots = torch.tensor([[index, start, end] for index, unit in enumerate(cache.units)
                          for start, end in unit.spans], dtype=torch.int64).view(-1, 3)
    positions = [_positions(unit) for unit in cache.units]
    entries = {'units': Entry.of(table), 'slots': Entry.of(slots),
               'positions': Entry.of(torch.cat([torch.empty(3, 0, dtype=torch.int64),
                                                *positions], dim=1))}
    heads, _, width = cache.keys[0].shape
    for layer in range(len(cache.keys)):
        for which, name in enumerate(('keys', 'values')):
            entries[f'{name}.{layer}'] = Entry(
                cache.keys[0].dtype, (heads, cache.length, width),
                functools.partial(_content, cache, layer, which))
    return entries


def read_units(tensors: Mapping[str, torch.Tensor]) -> list[Unit]:
    """Return the units of a file, with the slots that they had.

    Raises:
        KeyError, ValueError: the tensors are not there, or do not fit each other.

    """
    table, positions = tensors['units'], tensors['positions']
    if table.ndim != 2 or table.shape[1] != COLUMNS or table.dtype != torch.int64:
        raise ValueError(f'units are {table.dtype} {list(table.shape)}')
    if positions.shape != (3, int(table[:, 0].sum())) or bool((table[:, 0] < 1).any()):
        raise ValueError(f'positions are {list(positions.shape)}')
    slots: list[list[tuple[int, int]]] = [[] for _ in range(len(table))]
    for unit, first, end in tensors['slots'].tolist():
        slots[unit].append((first, end))
    units, start = [], 0
    for spans, row in zip(slots, table.tolist()):
        tokens, first, kind, group, time_ns, stamp_ns, frame = row
        label = Label(KINDS[kind], group, time_ns, stamp_ns, frame)
        own = positions[:, start:start + tokens].clone()
        units.append(Unit(tuple(spans), 0, first, label, None if label.kind is Kind.TEXT else own))
        start += tokens
        if units[-1].tokens != tokens:
            raise ValueError(f'{tokens} tokens are in {units[-1].tokens} slots')
    taken = sorted(span for unit in units for span in unit.spans)
    ends = [0, *(end for _, end in taken)]
    if any(start < before or end <= start for before, (start, end) in zip(ends, taken)):
        raise ValueError('slots are taken twice')
    return units


def read_content(tensors: Mapping[str, torch.Tensor], cache: StreamCache,
                 tokens: int) -> Sequence[KeysValues]:
    """Return keys and values of every layer, when they are such as the cache holds.

    Raises:
        KeyError, ValueError: they are not there, or of another type or shape.

    """
    heads, _, width = cache.keys[0].shape
    content = []
    for layer in range(len(cache.keys)):
        pair = tensors[f'keys.{layer}'], tensors[f'values.{layer}']
        for tensor in pair:
            if tensor.shape != (heads, tokens, width) or tensor.dtype != cache.keys[0].dtype:
                raise ValueError(f'keys or values are {tensor.dtype} {list(tensor.shape)}')
        content.append(pair)
    return content


def _content(cache: StreamCache, layer: int, which: int) -> torch.Tensor:
    """Return a layer's keys (0) or values (1) in the order of the units."""
    return cache.content(layer)[which]


def _positions(unit: Unit) -> torch.Tensor:
    """Return a unit's positions; zeros where nobody has given them."""
    if unit.positions is None:
        return torch.zeros(3, unit.tokens, dtype=torch.int64)
    return unit.positions
