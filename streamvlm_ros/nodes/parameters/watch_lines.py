# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter `watches`: standing questions as lines of text. No ROS here.

    watches: |
      light | What colour is the light now? | red, green, blue
      ball | Where is the yellow ball now? | left, middle, right | threshold 0.8 | hold 3
      seen | Have you seen a yellow ball? | yes, no | view now

One text and not a list, because ROS parameters know no empty list, and because YAML would turn
`[yes, no]` into true and false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamvlm_ros.errors import StreamError
from streamvlm_ros.nodes.parameters.parameter import ParameterError
from streamvlm_ros.nodes.texts import quoted
from streamvlm_ros.view import View

OPTIONS: dict[str, Callable[[Any], Any]] = {'threshold': float, 'hold': int, 'view': View.of}


def parse_watches(text: str) -> list[dict[str, Any]]:
    """Return the keyword arguments of the engine's `watch` for every line.

    Empty lines and those that begin with # are ignored. The values are checked when the watch
    is added; here only the form is.

    Raises:
        ParameterError: a line has another form, or two have one name.

    """
    watches: list[dict[str, Any]] = []
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith('#'):
            watches.append(_parse_line(line))
    names: set[str] = set()
    for watch in watches:
        name = watch['name']
        if name in names:
            raise ParameterError(
                f'The watch {quoted(name)} is there twice; give every one its own name.'
            )
        names.add(name)
    return watches


def _parse_line(line: str) -> dict[str, Any]:
    fields = [field.strip() for field in line.split('|')]
    if len(fields) < 3 or not all(fields):
        raise ParameterError(
            f"The watch {quoted(line)} is not of the form 'name | question | choice, choice'."
        )
    name, question, choices, *options = fields
    watch: dict[str, Any] = {
        'name': name,
        'question': question,
        'choices': tuple(choice.strip() for choice in choices.split(',')),
    }
    if len(watch['choices']) < 2:
        raise ParameterError(
            f'The watch {quoted(name)} has 1 choice, {quoted(choices)}; give at least two, with '
            'a comma between them.'
        )
    for option in options:
        key, _, value = option.partition(' ')
        try:
            watch[key] = OPTIONS[key](value)
        except (KeyError, ValueError, StreamError):
            raise ParameterError(
                f'The watch {quoted(name)} has {quoted(option)} after its choices; possible are '
                "'threshold 0.7', 'hold 2' and 'view now'."
            ) from None
    return watch
