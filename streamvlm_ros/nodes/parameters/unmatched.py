# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters and files that are given and match nothing. No ROS here.

ROS accepts them silently, and the user believes that they are used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import difflib
import itertools
import pathlib
import re
from typing import Any

import yaml

from streamvlm_ros.nodes.parameters.parameters import unknown_parameter
from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted

OVERRIDES = 'qos_overrides.'
NEAR = 0.8  # similarity of two names of which one may be a typing error
_TOKENS = {'**': r'(/\w+)*', '*': r'/\w+'}


def unmatched_parameters(given: Iterable[str], known: Collection[str]) -> list[str]:
    """Return a sentence for every given parameter that does not exist.

    Args:
        given: names from files and the command line.
        known: all names that exist.

    """
    table = [name for name in known if not name.startswith(OVERRIDES)]
    said = []
    for name in sorted(set(given) - set(known)):
        if name.startswith(OVERRIDES):
            said.append(_unmatched_override(name, known))
        else:
            said.append(f'{unknown_parameter(name, table)} It is ignored.')
    return said


def unmatched_files(arguments: Sequence[str], nodes: Sequence[str]) -> list[str]:
    """Return a sentence for every parameter file, and part of one, that is for no node here.

    Args:
        arguments: the command line, as ROS takes it.
        nodes: full names of the nodes of the process.

    """
    said = []
    for flag, value in itertools.pairwise(arguments):
        if flag == '--params-file':
            said += _unmatched_sections(pathlib.Path(value), nodes)
        elif flag in ('-p', '--param'):
            name = value.partition(':=')[0]
            node, has_node, _ = name.rpartition(':')
            if has_node and not _matches(node, nodes):
                said.append(
                    f'The parameter {quoted(name)} is for the node {quoted(node)}, and this '
                    f'process has no such node{_hint(node, nodes)} It is ignored.'
                )
    return said


def _unmatched_override(name: str, known: Collection[str]) -> str:
    names = sorted(other for other in known if other.startswith(OVERRIDES))
    subscription, _, policy = name.rpartition('.')
    if any(other.startswith(f'{subscription}.') for other in names):
        policies = ', '.join(sorted({other.rpartition('.')[2] for other in names}))
        return (
            f'The parameter {quoted(name, 200)} overrides nothing: of this subscription '
            f'{policies} can be overridden. It is ignored.'
        )
    near = difflib.get_close_matches(name[:200], names, n=1, cutoff=0.0)
    same = [other for other in near if other.endswith(f'.{policy}')] or [
        f'{other.rpartition(".")[0]}.{policy}' for other in near
    ]
    hint = f"; did you mean '{same[0]}'?" if same else '.'
    return (
        f'The parameter {quoted(name, 200)} overrides nothing; the topic in it is the full name '
        f'that the node subscribes to, after remapping{hint} It is ignored.'
    )


def _unmatched_sections(file: pathlib.Path, nodes: Sequence[str]) -> list[str]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return []  # ROS has read it, in its own way
    sections = list(_sections(content, ''))
    if not sections:
        return [
            f'The parameter file {file} gives no parameter: write them below '
            "'/**:' and 'ros__parameters:'."
        ]
    others = [section for section in sections if not _matches(section, nodes)]
    if len(others) == len(sections):
        return [
            f'The parameter file {file} is for {_listed(others)}, and this process has no such '
            f"node{_hint(others[0], nodes)} Nothing in it is used; '/**' means every node."
        ]
    # A file may have parts for other nodes of the robot; a name that is nearly ours is an error.
    ours = {node.rpartition('/')[2] for node in nodes}
    return [
        f'The parameter file {file} has a part for {quoted(section)}, and this process has no '
        f'such node{_hint(section, nodes)} That part is ignored.'
        for section in others
        if (last := section.rpartition('/')[2]) not in ours
        and difflib.get_close_matches(last[:MOST_QUOTED], ours, n=1, cutoff=NEAR)
    ]


def _sections(content: Any, namespace: str) -> Iterator[str]:
    """Yield the names of the nodes that a file has parameters for; namespaces may be nested."""
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if not isinstance(value, Mapping):
            continue
        name = f'{namespace}/{str(key).strip("/")}'
        if value.get('ros__parameters'):
            yield name
        yield from _sections({k: v for k, v in value.items() if k != 'ros__parameters'}, name)


def _matches(section: str, nodes: Sequence[str]) -> bool:
    parts = [part for part in section.split('/') if part]
    pattern = ''.join(_TOKENS.get(part, f'/{re.escape(part)}') for part in parts)
    return any(re.fullmatch(pattern, node) for node in nodes)


def _hint(name: str, nodes: Sequence[str]) -> str:
    full = f'/{name.lstrip("/")}'[:MOST_QUOTED]
    near = difflib.get_close_matches(full, nodes, n=1, cutoff=0.0)
    return f'; did you mean {quoted(near[0])}?' if near else '.'


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ', '.join(map(quoted, names[:3])) + (f' and {more} more' if more > 0 else '')
