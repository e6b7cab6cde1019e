# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of the rooms in docs/design/rooms.md, drawn from the imports of the code."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
import pathlib

from scripts.house import House

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'design' / 'rooms.md'
BEGIN, END = '<!-- drawn by make docs -->', '<!-- end of the drawing -->'
PACKAGE = 'streamvlm_ros'
GROUND = 'ground floor'
# Each old name is looked up by moved.py, at run time; it is no part of the order of rooms.
LEFT_OUT = ('moved',)


def room_of(module: str, package: str) -> str | None:
    """Return the room of a module of a package; None: it belongs to none.

    A folder is a room. The files beside the folders are the ground floor together.
    """
    first, _, rest = module.removeprefix(f'{package}.').partition('.')
    if not module.startswith(f'{package}.') or first in LEFT_OUT:
        return None
    is_folder = bool(rest) or (ROOT / package.replace('.', '/') / first).is_dir()
    return first if is_folder else GROUND


def arrows_of(house: House, package: str) -> dict[tuple[str, str], int]:
    """Return how many imports go from each room of a package to each other one."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for module, imported in house.arrows.items():
        room = room_of(module, package)
        for other in imported:
            target = room_of(other, package)
            if room and target and room != target:
                found[room, target] += 1
    return dict(sorted(found.items()))


def files_of(house: House, package: str) -> dict[str, int]:
    """Return how many files each room has."""
    rooms = (room_of(module, package) for module in house.modules)
    return dict(sorted(collections.Counter(room for room in rooms if room).items()))


def direct(arrows: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows that no way over other rooms replaces (transitive reduction)."""
    below: dict[str, set[str]] = collections.defaultdict(set)
    for room, target in arrows:
        below[room].add(target)

    def reached(room: str) -> set[str]:
        return set().union(*({each} | reached(each) for each in below[room]))

    return {
        (room, target)
        for room, target in arrows
        if not any(target in reached(each) for each in below[room] - {target})
    }


def chart(files: Mapping[str, int], arrows: Mapping[tuple[str, str], int]) -> str:
    """Return a Mermaid flowchart of the rooms and of the arrows to those next below."""
    names = {room: room.replace(' ', '_') for room in files}
    near = direct(arrows)
    lines = ['```mermaid', 'flowchart TD']
    for room, count in files.items():
        lines.append(f'  {names[room]}["{room}<br>{count} file{"s" if count > 1 else ""}"]')
    for (room, target), count in arrows.items():
        if (room, target) in near:
            lines.append(f'  {names[room]} -->|{count}| {names[target]}')
    return '\n'.join([*lines, '```'])


def table(files: Mapping[str, int], arrows: Mapping[tuple[str, str], int]) -> str:
    """Return a Markdown table of all arrows, those too that the chart leaves out."""
    lines = ['| room | imports |', '|---|---|']
    for room in files:
        targets = [f'{target} {n}' for (source, target), n in arrows.items() if source == room]
        lines.append(f'| {room} | {", ".join(targets) or "nothing of these"} |')
    return '\n'.join(lines)


def drawing(house: House) -> str:
    """Return the pictures of the package and of the engine, with what they mean."""
    parts = [
        BEGIN,
        'A number on an arrow says how often files of the upper room import files of the lower '
        'one. An arrow is left\nout of the picture where a way over other rooms leads there too; '
        'the tables have them all.',
    ]
    for package, title in (
        (PACKAGE, 'The package'),
        (f'{PACKAGE}.engine', 'Inside `engine/`'),
    ):
        files, arrows = files_of(house, package), arrows_of(house, package)
        parts += [f'**{title}**', chart(files, arrows), table(files, arrows)]
    return '\n\n'.join([*parts, END])


def rooms_page(house: House) -> str:
    """Return the text of docs/design/rooms.md with the drawing as it has to be.

    Raises:
        ValueError: the page does not have exactly one place for it.

    """
    text = PAGE.read_text(encoding='utf-8')
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f'{PAGE.name} must have {BEGIN} and {END} once each.')
    before, _, rest = text.partition(BEGIN)
    return before + drawing(house) + rest.partition(END)[2]
