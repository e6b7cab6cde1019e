# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options that say how an answer is drawn, named as the fields of `~/ask`."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from streamvlm_ros.answer_settings import AnswerSettings, SOURCES
from streamvlm_ros.errors import CommandError, StreamError


def add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each of `AnswerSettings`; what is not given is left to the node."""
    group = parser.add_argument_group(
        'how the answer is drawn', 'what is not given is left to the node'
    )
    group.add_argument(
        '--generation',
        choices=SOURCES,
        default='',
        help="take open settings from the model's generation_config.json, or none of them",
    )
    group.add_argument(
        '--sample', action='store_true', help='draw tokens at random, as the settings say'
    )
    group.add_argument(
        '--temperature', type=float, default=0.0, help='draw tokens with this one, 1e-6 to 100'
    )
    group.add_argument(
        '--top-p', type=float, default=0.0, help='from the most probable with this share'
    )
    group.add_argument(
        '--top-k', type=int, default=0, help='from so many of the most probable tokens'
    )
    group.add_argument(
        '--min-p', type=float, default=0.0, help='from those with this share of the best'
    )
    group.add_argument(
        '--repetition-penalty',
        type=float,
        default=0.0,
        help='for tokens that are there already, 0.01 to 100; 1: none',
    )
    group.add_argument('--seed', type=int, default=0, help='of the random numbers')


def generation_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a request that are given.

    Raises:
        CommandError: a value is out of range.

    """
    names = [field.name for field in dataclasses.fields(AnswerSettings)]
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name)}
    try:
        AnswerSettings(**given)
    except StreamError as error:
        raise CommandError(str(error)) from error
    return given
