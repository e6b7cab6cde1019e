# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The content of a cache, as tensors and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools

import torch

from streamvlm_ros.engine.kvcache.allocator import count
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryInfo, EntryKind
from streamvlm_ros.engine.ops.attention import KeysValues
from streamvlm_ros.engine.store.fields import LARGEST, LAST_POSITION, UnfitError
from streamvlm_ros.engine.store.file import Entry
from streamvlm_ros.stamps import LAST_STAMP

# A row of the file is one entry: tokens, first, kind (index in KINDS), group, time_ns, stamp_ns,
# frame.
KINDS = (EntryKind.TEXT, EntryKind.PREFIX, EntryKind.MARK, EntryKind.PATCH, EntryKind.TURN)
HIGHEST = (LARGEST, LARGEST, len(KINDS) - 1, LARGEST, LAST_STAMP, LAST_STAMP, LARGEST)
COLUMNS = len(HIGHEST)
# Columns of the table of ids: an entry, and an id that it has.
ID_COLUMNS = 2


def cache_entries(cache: StreamCache) -> dict[str, Entry]:
    """Return a cache's content: its entries, slots, positions, and each layer's keys and values.

    Free slots are not written: tokens stand in the file in the order of the stream.
    """
    table = torch.tensor(
        [
            [
                entry.tokens,
                entry.first,
                KINDS.index(entry.info.kind),
                entry.info.group,
                entry.info.time_ns,
                entry.info.stamp_ns,
                entry.info.frame,
            ]
            for entry in cache.entries
        ],
        dtype=torch.int64,
    ).view(-1, COLUMNS)
    slots = torch.tensor(
        [
            [index, start, end]
            for index, entry in enumerate(cache.entries)
            for start, end in entry.spans
        ],
        dtype=torch.int64,
    ).view(-1, 3)
    ids = torch.tensor(
        [
            [index, token]
            for index, entry in enumerate(cache.entries)
            for token in sorted(entry.ids)
        ],
        dtype=torch.int64,
    ).view(-1, ID_COLUMNS)
    positions = [_positions(entry) for entry in cache.entries]
    entries = {
        'units': Entry.of(table),
        'slots': Entry.of(slots),
        'ids': Entry.of(ids),
        'positions': Entry.of(
            torch.cat([torch.empty(3, 0, dtype=torch.int64), *positions], dim=1)
        ),
    }
    heads, _, width = cache.keys[0].shape
    for layer in range(len(cache.keys)):
        for which, name in enumerate(('keys', 'values')):
            entries[f'{name}.{layer}'] = Entry(
                cache.keys[0].dtype,
                (heads, cache.length, width),
                functools.partial(_content, cache, layer, which),
            )
    return entries


def read_entries(tensors: Mapping[str, torch.Tensor]) -> list[CacheEntry]:
    """Return the entries of a file, with the slots that they had.

    Args:
        tensors: ``units`` int64 [n, COLUMNS], ``slots`` int64 [m, 3], ``ids`` int64
            [k, ID_COLUMNS] and ``positions`` int64 [3, tokens].

    Raises:
        UnfitError: no cache has such entries, or they do not fit each other.

    """
    table, positions = tensors['units'], tensors['positions']
    _check_range('units', table, 0, torch.tensor(HIGHEST))
    _check_range('positions', positions, 0, torch.tensor(LAST_POSITION))
    _check_range('slots', tensors['slots'], 0, torch.tensor(LAST_POSITION))
    _check_range('ids', tensors['ids'], 0, torch.tensor(LAST_POSITION))
    spans = _read_slots(tensors['slots'], len(table))
    ids = _read_ids(tensors['ids'], len(table))
    entries, start = [], 0
    for row, own, different in zip(table.tolist(), spans, ids):
        tokens, first, kind, group, time_ns, stamp_ns, frame = row
        # Copied, so that an entry does not keep the positions of all alive.
        entries.append(
            CacheEntry(
                own,
                tokens,
                0,
                first,
                EntryInfo(KINDS[kind], group, time_ns, stamp_ns, frame),
                positions[:, start : start + tokens].clone(),
                different,
            )
        )
        start += tokens
        if not tokens or count(own) != tokens:
            raise UnfitError(f'{tokens} tokens are in {count(own)} slots')
        if not 0 < len(different) <= tokens:
            raise UnfitError(f'{tokens} tokens have {len(different)} different ids')
    if start != positions.shape[1]:
        raise UnfitError(f'{start} tokens have {positions.shape[1]} positions')
    return entries


def read_content(tensors: Mapping[str, torch.Tensor], layers: int) -> Sequence[KeysValues]:
    """Return keys and values of every layer."""
    return [(tensors[f'keys.{layer}'], tensors[f'values.{layer}']) for layer in range(layers)]


def _read_slots(slots: torch.Tensor, entries: int) -> list[tuple[tuple[int, int], ...]]:
    """Return the slots of every entry; no slot may be used twice."""
    spans: list[list[tuple[int, int]]] = [[] for _ in range(entries)]
    before = 0
    for entry, start, end in slots.tolist():
        if not before <= entry < entries or start >= end:
            raise UnfitError('its slots are not those of its entries, one after the other')
        spans[entry].append((start, end))
        before = entry
    taken, last = sorted(span for own in spans for span in own), 0
    for start, end in taken:
        if start < last:
            raise UnfitError('slots are taken twice')
        last = end
    return [tuple(own) for own in spans]


def _read_ids(ids: torch.Tensor, entries: int) -> list[frozenset[int]]:
    """Return the different ids of every entry; they stand in ascending order."""
    found: list[list[int]] = [[] for _ in range(entries)]
    before = (0, -1)
    for entry, token in ids.tolist():
        if not before < (entry, token) or entry >= entries:
            raise UnfitError('its ids are not those of its entries, one after the other')
        found[entry].append(token)
        before = entry, token
    return [frozenset(own) for own in found]


def _check_range(name: str, tensor: torch.Tensor, low: int, high: torch.Tensor) -> None:
    if bool((tensor < low).any() | (tensor > high).any()):
        raise UnfitError(f'{name} have numbers that no stream has')


def _content(cache: StreamCache, layer: int, which: int) -> torch.Tensor:
    """Return a layer's keys (0) or values (1) in the order of the entries."""
    return cache.content(layer)[which]


def _positions(entry: CacheEntry) -> torch.Tensor:
    """Return an entry's positions; every entry of a stream has some."""
    assert entry.positions is not None
    return entry.positions
