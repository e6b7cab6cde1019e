# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of change to a saved stream's file: functions that change its parts.

Those of ``CONTENT`` change what was seen, which no reader can know: the loaded stream then has to
work, but may answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import copy
import random

import numpy as np
from support.saving.changed_description import (
    description_other,
    field_gone,
    field_hostile,
    field_more,
    field_near,
    fields_swapped,
    fingerprint_other,
)
from support.saving.changed_tables import (
    ids_cell,
    ids_rows,
    positions_cell,
    positions_other,
    positions_unit,
    slots_cell,
    slots_rows,
    slots_split,
    unit_gone,
    units_cell,
    units_joined,
    units_rows,
)
from support.saving.saved_bytes import SavedBytes

Change = Callable[[random.Random, SavedBytes], None]


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
    ids_cell,
    ids_rows,
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
