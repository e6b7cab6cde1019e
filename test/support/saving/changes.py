# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of change to a saved stream's file: functions that change its parts.

Those of ``CONTENT`` change what was seen, which no reader can know: the loaded stream then has to
work, but may answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import copy
import json
import random
from typing import Any

import numpy as np
from support.saving.saved_bytes import SavedBytes

HOSTILE = (
    2**70,
    -(2**70),
    2**63,
    2**63 - 1,
    2**62,
    2**53 + 1,
    2**31,
    -1,
    0,
    1,
    2,
    True,
    False,
    0.5,
    -0.0,
    1.0,
    1e308,
    float('nan'),
    float('inf'),
    None,
    '',
    'NOTHING',
    'VIDEO',
    'x' * 5000,
    '\ud800',
    'a\0b',
    [],
    {},
    [1, 2, 3, 4],
    {'a': 1},
    [[[[[]]]]],
    '1',
)
INTEGERS = (2**63 - 1, -(2**63), 2**62, 2**62 - 1, 2**53, 2**40, 2**31, 10**9, -1, 0, 1, 2, 3)

Change = Callable[[random.Random, SavedBytes], None]


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every value that is inside of a value."""
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in pairs:
        yield (*path, key)
        yield from leaves(inner, (*path, key))


def holder(about: Any, path: tuple) -> Any:
    for key in path[:-1]:
        about = about[key]
    return about


def pick(rng: random.Random, file: SavedBytes) -> tuple[Any, Any]:
    """Return something of the description that has fields, and which of them."""
    paths = list(leaves(file.about))
    path = rng.choice(paths)
    return holder(file.about, path), path[-1]


def field_hostile(rng: random.Random, file: SavedBytes) -> None:
    where, key = pick(rng, file)
    where[key] = rng.choice(HOSTILE)


def field_near(rng: random.Random, file: SavedBytes) -> None:
    """Change a number by a little, or by the time between two frames."""
    numbers = [
        path
        for path in leaves(file.about)
        if type(holder(file.about, path)[path[-1]]) in (int, float)
    ]
    path = rng.choice(numbers)
    holder(file.about, path)[path[-1]] += rng.choice(
        (1, -1, 2, -2, 10**9, -(10**9), 5 * 10**8, -5 * 10**8, 10**15)
    )


def field_gone(rng: random.Random, file: SavedBytes) -> None:
    where, key = pick(rng, file)
    del where[key]


def field_more(rng: random.Random, file: SavedBytes) -> None:
    where, _ = pick(rng, file)
    if isinstance(where, list):
        where.insert(rng.randrange(len(where) + 1), copy.deepcopy(rng.choice([*where, 0])))
    else:
        where[rng.choice(('more', '', 'version '))] = rng.choice(HOSTILE)


def fields_swapped(rng: random.Random, file: SavedBytes) -> None:
    (one, a), (other, b) = pick(rng, file), pick(rng, file)
    one[a], other[b] = copy.deepcopy(other[b]), copy.deepcopy(one[a])


def description_other(rng: random.Random, file: SavedBytes) -> None:
    text = copy.deepcopy(file.about)
    deep = rng.choice((500, 5000, 100000))
    file.text = rng.choice(
        (
            '[' * deep,
            '{"a":' * deep,
            '[' * deep + ']' * deep,
            '',
            'null',
            '[]',
            '3',
            '"x"',
            '{}',
            '{"version": 2, ' + repr(text)[1:],
            '1' * 5000,
        )
    )
    if rng.random() < 0.3:
        file.text = json.dumps(text)[:-1] + ', "epoch": 7}'


def fingerprint_other(rng: random.Random, file: SavedBytes) -> None:
    name = rng.choice(list(file.about['fingerprint']))
    value = file.about['fingerprint'][name]
    file.about['fingerprint'][name] = (
        value * 1.01 + 1 if type(value) in (int, float) else rng.choice(HOSTILE)
    )


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


def unit_gone(rng: random.Random, file: SavedBytes) -> None:
    """Take an entry out everywhere, so that only the rest can tell."""
    table, slots = file.tensors['units'], file.tensors['slots']
    a = rng.randrange(len(table))
    start = int(table[:a, 0].sum())
    gone = list(range(start, start + int(table[a, 0])))
    file.tensors['units'] = np.delete(table, a, 0)
    file.tensors['slots'] = slots[slots[:, 0] != a]
    file.tensors['slots'][:, 0] -= file.tensors['slots'][:, 0] > a
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


def header_field(rng: random.Random, file: SavedBytes) -> None:
    name = rng.choice([*file.tensors, 'crc32'])
    field = rng.choice(('dtype', 'shape', 'data_offsets', 'more'))
    values = {
        'dtype': ('F64', 'BF16', 'F16', 'I32', '', 3, None, ['F32'], 'F32' * 500),
        'shape': (
            [2**32, 2**32],
            [2**62, 4],
            [2**70],
            [-1],
            [-1, -1],
            [0],
            [0, 2**62],
            [],
            [True],
            [1.0],
            ['1'],
            None,
            3,
            'x',
            {'0': 1},
            [1] * 5000,
            [2**40],
            [10**9, 3],
        ),
        'data_offsets': (
            [0, 0],
            [0, 2**70],
            [-8, 0],
            [0],
            [],
            None,
            [False, True],
            [0.0, 8.0],
            ['0', '8'],
            [0, 1, 2],
        ),
        'more': (1,),
    }
    file.header[name] = {field: rng.choice(values[field])}


def tensor_gone(rng: random.Random, file: SavedBytes) -> None:
    del file.tensors[rng.choice(list(file.tensors))]


def tensor_more(rng: random.Random, file: SavedBytes) -> None:
    name = rng.choice(
        ('more', '', 'keys.99', 'pending.0', 'pending.9', 'still', 'keys.-1', 'keys.00')
    )
    file.tensors.setdefault(
        name, np.zeros(rng.choice(((0,), (4, 4), (56, 84, 3))), rng.choice(('u1', '<f4', '<i8')))
    )


def tensor_renamed(rng: random.Random, file: SavedBytes) -> None:
    old = rng.choice(list(file.tensors))
    new = rng.choice([*file.tensors, 'other'])
    file.tensors = {
        new if name == old else old if name == new else name: array
        for name, array in file.tensors.items()
    }


def tensor_shape(rng: random.Random, file: SavedBytes) -> None:
    name = rng.choice([name for name in file.tensors if not name.startswith('pending')])
    array = file.tensors[name]
    file.tensors[name] = np.ascontiguousarray(
        rng.choice(
            (
                lambda: array[1:],
                lambda: array[..., :-1],
                lambda: array.T,
                lambda: array.reshape(-1),
                lambda: array[None],
                lambda: np.concatenate([array, array]),
                lambda: array[:0],
                lambda: np.zeros((3000, 14, 3), 'u1'),
            )
        )()
    )


def tensor_type(rng: random.Random, file: SavedBytes) -> None:
    name = rng.choice(list(file.tensors))
    with np.errstate(all='ignore'):
        file.tensors[name] = file.tensors[name].astype(
            rng.choice(('u1', '<f4', '<i8', '<f2', '<u2'))
        )


def not_finite(rng: random.Random, file: SavedBytes) -> None:
    name = rng.choice(
        [name for name, array in file.tensors.items() if array.dtype.kind == 'f'] or ['units']
    )
    flat = file.tensors[name].reshape(-1)
    if flat.dtype.kind == 'f' and flat.size:
        flat[rng.randrange(flat.size)] = rng.choice((np.nan, np.inf, -np.inf))
    else:
        file.about['epoch'] = float('nan')


def pending_gone(rng: random.Random, file: SavedBytes) -> None:
    """Take a waiting frame out, or the last one twice, in both places."""
    pending = file.about['pending']
    if rng.random() < 0.5 and pending:
        file.tensors.pop(f'pending.{len(pending) - 1}')
        pending.pop()
    else:
        image = file.tensors.get('pending.0', np.zeros((56, 84, 3), 'u1'))
        for _ in range(rng.choice((1, 2, 3, 9))):
            file.tensors[f'pending.{len(pending)}'] = image.copy()
            last = copy.deepcopy(pending[-1] if pending else file.about['landmarks']['newest'])
            last[3] += rng.choice((0, 1))
            pending.append(last)


def content_values(rng: random.Random, file: SavedBytes) -> None:
    """Other keys, values, pixels: another stream, but one."""
    name = rng.choice(
        [name for name in file.tensors if name.startswith(('keys', 'values', 'pending', 'still'))]
    )
    flat = file.tensors[name].reshape(-1)
    if flat.size:
        flat[rng.randrange(flat.size)] = rng.choice((0, 1, 255, 100))


def content_size(rng: random.Random, file: SavedBytes) -> None:
    """Waiting images of another size, of one that no stream takes, or of several."""
    shape = rng.choice(((55, 84, 3), (28, 28, 3), (1, 1, 3), (1, 201, 3), (0, 84, 3), (56, 84, 4)))
    names = [name for name in file.tensors if name.startswith('pending')]
    for name in names[: rng.choice((1, len(names)))] if names else ():
        file.tensors[name] = np.zeros(shape, 'u1')


def content_times(rng: random.Random, file: SavedBytes) -> None:
    """Move all that is known of the newest frame's time."""
    by = rng.choice((1, 1000, 10**9, -1, -(10**9)))
    number = file.about['landmarks']['newest'][3]
    for frame in (*file.about['pending'], *file.about['landmarks'].values()):
        if frame is not None and frame[3] == number:
            frame[0] += by
            frame[1] += by


def several(rng: random.Random, file: SavedBytes) -> None:
    for change in rng.sample(SINGLE, rng.choice((2, 3))):
        # What the one before has broken may have nothing left to change.
        with contextlib.suppress(
            ArithmeticError, AttributeError, LookupError, TypeError, ValueError
        ):
            change(rng, file)


# Keys may be named values, and one layer's another's; a patch may be missing, as one
# that was let go or left out as still.
CONTENT: tuple[Change, ...] = (
    content_values,
    content_size,
    content_times,
    tensor_renamed,
    unit_gone,
)
SINGLE: tuple[Change, ...] = (
    field_hostile,
    field_near,
    field_gone,
    field_more,
    fields_swapped,
    description_other,
    fingerprint_other,
    units_cell,
    units_rows,
    units_joined,
    slots_cell,
    slots_rows,
    slots_split,
    positions_cell,
    positions_unit,
    positions_other,
    header_field,
    tensor_gone,
    tensor_more,
    tensor_shape,
    tensor_type,
    not_finite,
    pending_gone,
)
CHANGES = (*SINGLE, several, *CONTENT)
