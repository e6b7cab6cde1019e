# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Changes to the tables in a saved stream's file: entries, slots and positions."""

from __future__ import annotations

import random

import numpy as np
from support.saving.saved_bytes import SavedBytes

INTEGERS = (2**63 - 1, -(2**63), 2**62, 2**62 - 1, 2**53, 2**40, 2**31, 10**9, -1, 0, 1, 2, 3)


def units_cell(rng: random.Random, file: SavedBytes) -> None:
    table = file.tensors['units']
    row, column = rng.randrange(len(table)), rng.randrange(table.shape[1])
    if rng.random() < 0.5:
        table[row, column] = rng.choice(INTEGERS)
    else:
        table[row, column] += rng.choice((1, -1, 2, 10**9, -(10**9), 5 * 10**8))


def units_rows(rng: random.Random, file: SavedBytes) -> None:
    table = file.tensors['units']
    a, b = rng.randrange(len(table)), rng.randrange(len(table))
    file.tensors['units'] = rng.choice(
        (
            lambda: np.delete(table, a, 0),
            lambda: np.insert(table, a, table[b], 0),
            lambda: table[[b if i == a else a if i == b else i for i in range(len(table))]],
            lambda: table[:0],
            lambda: table[::-1].copy(),
            lambda: table.T.copy(),
            lambda: table[:, :-1].copy(),
        )
    )()


def units_joined(rng: random.Random, file: SavedBytes) -> None:
    """Make one entry of two that follow each other, slots and all."""
    table, slots = file.tensors['units'], file.tensors['slots']
    a = rng.randrange(max(1, len(table) - 1))
    if a + 1 < len(table):
        table[a, 0] += table[a + 1, 0]
        file.tensors['units'] = np.delete(table, a + 1, 0)
        slots[:, 0] -= slots[:, 0] > a
        ids = file.tensors['ids']
        ids[:, 0] -= ids[:, 0] > a
        file.tensors['ids'] = np.unique(ids, axis=0)


def unit_gone(rng: random.Random, file: SavedBytes) -> None:
    """Take an entry out everywhere, so that only the rest can tell."""
    table, slots = file.tensors['units'], file.tensors['slots']
    a = rng.randrange(len(table))
    start = int(table[:a, 0].sum())
    gone = list(range(start, start + int(table[a, 0])))
    file.tensors['units'] = np.delete(table, a, 0)
    file.tensors['slots'] = slots[slots[:, 0] != a]
    file.tensors['slots'][:, 0] -= file.tensors['slots'][:, 0] > a
    ids = file.tensors['ids']
    file.tensors['ids'] = ids[ids[:, 0] != a]
    file.tensors['ids'][:, 0] -= file.tensors['ids'][:, 0] > a
    for name, array in file.tensors.items():
        if name == 'positions' or name.startswith(('keys', 'values')):
            file.tensors[name] = np.delete(array, gone, 1)
    file.about['state']['length'] -= len(gone)


def slots_cell(rng: random.Random, file: SavedBytes) -> None:
    slots = file.tensors['slots']
    row, column = rng.randrange(len(slots)), rng.randrange(3)
    slots[row, column] = rng.choice((*INTEGERS, int(slots[row, column]) + rng.choice((1, -1))))


def slots_rows(rng: random.Random, file: SavedBytes) -> None:
    slots = file.tensors['slots']
    a, b = rng.randrange(len(slots)), rng.randrange(len(slots))
    file.tensors['slots'] = rng.choice(
        (
            lambda: np.delete(slots, a, 0),
            lambda: np.insert(slots, a, slots[b], 0),
            lambda: slots[::-1].copy(),
            lambda: slots[:0],
            lambda: slots + np.array([0, 1, 1]),
            lambda: slots + np.array([0, 10**6, 10**6]),
            lambda: slots + np.array([0, -1, -1]),
        )
    )().astype('<i8')


def slots_split(rng: random.Random, file: SavedBytes) -> None:
    """Say the same slots in two spans, or in the other order: that is a stream too."""
    slots = file.tensors['slots']
    row = rng.randrange(len(slots))
    entry, start, end = map(int, slots[row])
    if end - start > 1:
        middle = rng.randrange(start + 1, end)
        pieces = [[entry, start, middle], [entry, middle, end]]
        file.tensors['slots'] = np.concatenate(
            [slots[:row], np.array(pieces, '<i8'), slots[row + 1 :]]
        )


def ids_cell(rng: random.Random, file: SavedBytes) -> None:
    ids = file.tensors['ids']
    row, column = rng.randrange(len(ids)), rng.randrange(2)
    ids[row, column] = rng.choice((*INTEGERS, int(ids[row, column]) + rng.choice((1, -1))))


def ids_rows(rng: random.Random, file: SavedBytes) -> None:
    ids = file.tensors['ids']
    a, b = rng.randrange(len(ids)), rng.randrange(len(ids))
    file.tensors['ids'] = rng.choice(
        (
            lambda: np.delete(ids, a, 0),
            lambda: np.insert(ids, a, ids[b], 0),
            lambda: ids[::-1].copy(),
            lambda: ids[:0],
            lambda: np.concatenate([ids, [[int(ids[-1, 0]), 300]]]),
            lambda: ids + np.array([1, 0]),
        )
    )().astype('<i8')


def positions_cell(rng: random.Random, file: SavedBytes) -> None:
    positions = file.tensors['positions']
    at = rng.randrange(3), rng.randrange(positions.shape[1])
    positions[at] = rng.choice((*INTEGERS, int(positions[at]) + rng.choice((1, -1, 7))))


def positions_unit(rng: random.Random, file: SavedBytes) -> None:
    """Move one entry on some axes."""
    table, positions = file.tensors['units'], file.tensors['positions']
    a = rng.randrange(len(table))
    start = int(table[:a, 0].sum())
    part = positions[:, start : start + int(table[a, 0])]
    part[rng.choice(([0], [1], [2], [1, 2], [0, 1, 2]))] += rng.choice((1, -1, 5, 1000))


def positions_other(rng: random.Random, file: SavedBytes) -> None:
    positions = file.tensors['positions']
    order = list(range(positions.shape[1]))
    rng.shuffle(order)
    file.tensors['positions'] = (
        rng.choice(
            (
                lambda: positions[[1, 0, 2]],
                lambda: positions[:, order],
                lambda: positions + 1,
                lambda: positions * 0,
                lambda: positions[:, :-1],
                lambda: positions[:2],
                lambda: positions.T,
                lambda: -positions,
            )
        )()
        .astype('<i8')
        .copy()
    )
