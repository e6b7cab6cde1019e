# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts what keeps the code findable: files, folders, floors of imports, and circles.

``make lint`` runs it with ``--check``; that imports go downward only is checked there too, by the
contracts in pyproject.toml.

    python -m scripts.house            a table of figures
    python -m scripts.house --check    the same; exit code 1 with a sentence for each broken limit

Every import counts: those under TYPE_CHECKING and those inside functions too. Standard library
only, so that it also reads a checkout of an older commit (``--root``).
"""

from __future__ import annotations

import argparse
import ast
import collections
from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TREES = ('streamvlm_ros', 'benchmark', 'training', 'scripts', 'test')
MOST_FILES = 14  # Python files in one folder
MOST_LINES = 350  # in one file
GROUND_FILES = 8  # on the ground floor of engine/
ENGINE = 'streamvlm_ros.engine'
Arrows = Mapping[str, set[str]]


def modules_of(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the file of every module by its dotted name, of all trees under ``root``."""
    found = {}
    for tree in TREES:
        for path in sorted((root / tree).rglob('*.py')):
            parts = path.relative_to(root).with_suffix('').parts
            name = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
            found[name] = path
    return found


def imports_of(name: str, path: pathlib.Path, modules: Mapping[str, pathlib.Path]) -> set[str]:
    """Return the modules of ours that a file imports, wherever in the file it does so."""
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                above = package.split('.')[: len(package.split('.')) - node.level + 1]
                base = '.'.join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f'{base}.{alias.name}'
                found |= {whole} if whole in modules else {base} & modules.keys()
    return found - {name}


def graph_of(modules: Mapping[str, pathlib.Path]) -> dict[str, set[str]]:
    """Return what each module imports of ours."""
    return {name: imports_of(name, path, modules) for name, path in modules.items()}


def components(arrows: Arrows) -> list[list[str]]:
    """Return the strongly connected components, each after those that it imports (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    done: list[list[str]] = []

    def visit(name: str) -> Iterator[str]:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(arrows[name]):
            if other not in order:
                yield other
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            at = stack.index(name)
            done.append(sorted(stack[at:]))
            del stack[at:]

    for start in sorted(arrows):
        calls = [visit(start)] if start not in order else []
        while calls:
            following = next(calls[-1], None)
            if following is None:
                calls.pop()
            else:
                calls.append(visit(following))
    return done


def circles_of(arrows: Arrows) -> list[list[str]]:
    """Return the groups of files that import each other in a circle."""
    return [group for group in components(arrows) if len(group) > 1]


def floors_of(arrows: Arrows) -> int:
    """Return how many floors of imports there are: the longest way down, circles as one file."""
    floor: dict[str, int] = {}
    for group in components(arrows):
        below = {other for name in group for other in arrows[name]} - set(group)
        floor |= dict.fromkeys(group, 1 + max((floor[other] for other in below), default=0))
    return max(floor.values(), default=0)


def folders_of(paths: Iterable[pathlib.Path]) -> collections.Counter[pathlib.Path]:
    """Return how many Python files each folder holds."""
    return collections.Counter(path.parent for path in paths)


@dataclasses.dataclass(frozen=True)
class House:
    """A checkout as it was read.

    Attributes:
        root: its folder.
        modules: the file of every module.
        arrows: what each module imports of ours.
        lines: how many lines each has.

    """

    root: pathlib.Path
    modules: Mapping[str, pathlib.Path]
    arrows: Arrows
    lines: Mapping[str, int]

    @classmethod
    def read(cls, root: pathlib.Path) -> House:
        """Read the Python files of a checkout."""
        modules = modules_of(root)
        lines = {
            name: len(path.read_text(encoding='utf-8').splitlines())
            for name, path in modules.items()
        }
        return cls(root, modules, graph_of(modules), lines)


def small_files(house: House) -> list[str]:
    """Return files of fewer than 40 lines that one other file imports: perhaps a part of that."""
    users = collections.Counter(other for others in house.arrows.values() for other in others)
    return [
        f'{name} ({house.lines[name]} lines)'
        for name, path in house.modules.items()
        if path.name != '__init__.py'
        and name.startswith('streamvlm_ros.')
        and house.lines[name] < 40
        and users[name] == 1
    ]


def faults_of(house: House) -> list[str]:
    """Return a sentence for every limit that is broken."""
    found = [
        f'{folder.relative_to(house.root)} holds {count} files; split it: at most {MOST_FILES}'
        for folder, count in folders_of(house.modules.values()).items()
        if count > MOST_FILES
    ]
    ground = folders_of(house.modules.values())[house.root / 'streamvlm_ros' / 'engine']
    if ground > GROUND_FILES:
        found.append(f'the ground floor of engine/ holds {ground} files; at most {GROUND_FILES}')
    found += [
        f'{path.relative_to(house.root)} has {house.lines[name]} lines; split it: at most '
        f'{MOST_LINES}'
        for name, path in house.modules.items()
        if house.lines[name] > MOST_LINES
    ]
    found += [f'a circle: {", ".join(group)}' for group in circles_of(house.arrows)]
    return found


def report(house: House) -> str:
    """Return the figures of a checkout as Markdown."""
    modules, arrows, lines = house.modules, house.arrows, house.lines
    rows = [
        '| tree | files | lines | folders | most files in one | longest file | floors |',
        '|---|---|---|---|---|---|---|',
    ]
    for tree in ('streamvlm_ros', ENGINE, *TREES[1:]):
        own = {n: p for n, p in modules.items() if n == tree or n.startswith(tree + '.')}
        if not own:
            continue
        folders = folders_of(own.values())
        within = {name: arrows[name] & own.keys() for name in own}
        rows.append(
            f'| {tree} | {len(own)} | {sum(lines[n] for n in own)} | {len(folders)} | '
            f'{max(folders.values())} | {max(lines[n] for n in own)} | '
            f'{floors_of(within)} |'
        )
    circles = circles_of(arrows)
    inside = {n: o for n, o in arrows.items() if n.startswith(ENGINE)}
    rows += [
        '',
        f'arrows between files of engine/: {sum(len(o & inside.keys()) for o in inside.values())}',
        f'circles: {len(circles)} with {sum(map(len, circles))} files',
        f'small files with one user: {len(small_files(house))}',
    ]
    return '\n'.join(rows)


def main() -> int:
    """Print the figures; with ``--check`` return 1 if a limit is broken."""
    parser = argparse.ArgumentParser(description='Counts files, folders, floors and circles.')
    parser.add_argument('--check', action='store_true', help='fail if a limit is broken')
    parser.add_argument('--small', action='store_true', help='list small files with one user')
    parser.add_argument('--root', type=pathlib.Path, default=ROOT, help='a checkout')
    arguments = parser.parse_args()
    house = House.read(arguments.root.resolve())
    print(report(house))
    if arguments.small:
        print('\n'.join(small_files(house)))
    faults = faults_of(house) if arguments.check else []
    if faults:
        print('\n'.join(['', *faults]), file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
