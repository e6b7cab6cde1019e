# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Changes to the description in a saved stream's file: its fields, or its text as a whole."""

from __future__ import annotations

from collections.abc import Iterator
import copy
import json
import random
from typing import Any

from support.saving.saved_bytes import SavedBytes

HOSTILE: tuple[Any, ...] = (
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
