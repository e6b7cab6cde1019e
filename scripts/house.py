# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts what keeps the code findable: files, folders, floors of imports, and circles.

    python -m scripts.house            a table of figures
    python -m scripts.house --check    the same; exit code 1 with a sentence for each broken limit

Every import counts: those under TYPE_CHECKING and those inside functions too. Standard library
only, so that it also reads a checkout of an older commit (``--root``).
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterable, Iterator, Mapping
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TREES = ('streamvlm_ros', 'benchmark', 'training', 'scripts', 'test')
MOST_FILES = 14  # Python files in one folder
MOST_LINES = 350  # in one file
GROUND_FILES = 8  # on the ground floor of engine/
ENGINE = 'streamvlm_ros.engine'
# The rooms of engine/ from the bottom up. What is not in a room is the ground floor, below all.
ROOMS = (
    'ops',
    'kvcache',
    'store',
    'models',
    'runner',
    'stream',
    'questions',
    'serving',
)
# The parts of the package from the bottom up; those of one line do not import each other.
PARTS = (
    ('environment', 'errors', 'ros_time'),
    ('bags', 'client', 'engine', 'scenes'),
    ('nodes',),
    ('cli', 'launching'),
)

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


def room_of(name: str) -> int:
    """Return the floor of a module's room in engine/: 0 is the ground floor."""
    room = name.removeprefix(ENGINE + '.').split('.')[0]
    return ROOMS.index(room) + 1 if room in ROOMS else 0


def part_of(name: str) -> int:
    """Return the floor of a module's part of the package; -1 for what has none."""
    part = name.split('.')[1] if '.' in name else ''
    return next((floor for floor, parts in enumerate(PARTS) if part in parts), -1)


def upward(arrows: Arrows) -> list[str]:
    """Return the imports that go up: between rooms of engine/ and parts of the package."""
    found = []
    for name, others in arrows.items():
        for other in sorted(others):
            inside = name.startswith(ENGINE + '.') and other.startswith(ENGINE + '.')
            shipped = name.startswith('streamvlm_ros') and other.startswith('streamvlm_ros.')
            if inside:
                up = room_of(name) < room_of(other)
            elif shipped:
                low, high = part_of(name), part_of(other)
                same = name.split('.')[1:2] == other.split('.')[1:2]
                up = low >= 0 and not same and low <= high
            else:
                up = name.startswith('streamvlm_ros')
            if up:
                found.append(f'{name} imports {other}')
    return found


def folders_of(paths: Iterable[pathlib.Path]) -> dict[pathlib.Path, int]:
    """Return how many Python files each folder holds."""
    counted: dict[pathlib.Path, int] = {}
    for path in paths:
        counted[path.parent] = counted.get(path.parent, 0) + 1
    return counted


def small_files(
    modules: Mapping[str, pathlib.Path], arrows: Arrows, lines: Mapping[str, int]
) -> list[str]:
    """Return files of fewer than 40 lines that one other file imports: perhaps a part of that."""
    users: dict[str, int] = {}
    for others in arrows.values():
        for other in others:
            users[other] = users.get(other, 0) + 1
    return [
        f'{name} ({lines[name]} lines)'
        for name, path in modules.items()
        if path.name != '__init__.py'
        and name.startswith('streamvlm_ros.')
        and lines[name] < 40
        and users.get(name) == 1
    ]


def faults_of(
    root: pathlib.Path,
    modules: Mapping[str, pathlib.Path],
    arrows: Arrows,
    lines: Mapping[str, int],
) -> list[str]:
    """Return a sentence for every limit that is broken."""
    found = [
        f'{folder.relative_to(root)} holds {count} files; split it: at most {MOST_FILES}'
        for folder, count in folders_of(modules.values()).items()
        if count > MOST_FILES
    ]
    ground = sum(path.parent == root / 'streamvlm_ros/engine' for path in modules.values())
    if ground > GROUND_FILES:
        found.append(f'the ground floor of engine/ holds {ground} files; at most {GROUND_FILES}')
    found += [
        f'{path.relative_to(root)} has {lines[name]} lines; split it: at most {MOST_LINES}'
        for name, path in modules.items()
        if lines[name] > MOST_LINES
    ]
    found += [f'a circle: {", ".join(group)}' for group in circles_of(arrows)]
    found += [f'an import goes up: {arrow}' for arrow in upward(arrows)]
    return found


def report(root: pathlib.Path) -> tuple[str, list[str]]:
    """Return the figures of a checkout as Markdown, and a sentence for every broken limit."""
    modules = modules_of(root)
    arrows = graph_of(modules)
    lines = {
        name: len(path.read_text(encoding='utf-8').splitlines()) for name, path in modules.items()
    }
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
        f'imports that go up: {len(upward(arrows))}',
        f'circles: {len(circles)} with {sum(map(len, circles))} files',
        f'small files with one user: {len(small_files(modules, arrows, lines))}',
    ]
    return '\n'.join(rows), faults_of(root, modules, arrows, lines)


def main() -> int:
    """Print the figures; with ``--check`` return 1 if a limit is broken."""
    parser = argparse.ArgumentParser(description='Counts files, folders, floors and circles.')
    parser.add_argument('--check', action='store_true', help='fail if a limit is broken')
    parser.add_argument('--small', action='store_true', help='list small files with one user')
    parser.add_argument('--root', type=pathlib.Path, default=ROOT, help='a checkout')
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    figures, faults = report(root)
    print(figures)
    if arguments.small:
        modules = modules_of(root)
        lines = {n: len(p.read_text(encoding='utf-8').splitlines()) for n, p in modules.items()}
        print('\n'.join(small_files(modules, graph_of(modules), lines)))
    if arguments.check and faults:
        print('\n'.join(['', *faults]), file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
