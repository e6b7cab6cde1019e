# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Only the families' own folders and the registry know a family."""

from __future__ import annotations

import io
import pathlib
import re
import tokenize

import pytest

from streamvlm_ros.engine.models.registry import FAMILIES, family_at

ENGINE = pathlib.Path(__file__).parents[3] / 'streamvlm_ros' / 'engine'
# Two families, and what they have in common.
OWN = {ENGINE / 'models' / name for name in ('qwen', 'qwen2_5_vl', 'qwen3_vl')}
# Modules that name a family on purpose: the registry, and the package's public names.
NAME_IT = {ENGINE / 'models' / 'registry.py', ENGINE / '__init__.py'}
# What only they have, as it is written in code.
SPECIFIC = re.compile(
    r'qwen|video_steps|windows|window_size|fullatt|tokens_per_second'
    r'|mrope_|deepstack|num_position|<\|video_pad|<\|vision_|<\|im_|language_model'
    r'|_proj\b|get_rope_index',
    re.IGNORECASE,
)
SIZES = {'14', '28', '56', '112'}  # of its patches, tokens and windows, in pixels


def specifics(file: pathlib.Path) -> list[str]:
    """Return what of a family the code of a file names, comments and docstrings left out."""
    found, before, shifts = [], tokenize.NEWLINE, False
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        is_docstring = token.type == tokenize.STRING and before in (
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.NL,
        )
        if token.type in (tokenize.NAME, tokenize.STRING) and not is_docstring:
            found += SPECIFIC.findall(token.string)
        # 1 << 28 is a bound, not a size.
        if token.type == tokenize.NUMBER and token.string in SIZES and not shifts:
            found.append(token.string)
        shifts = token.string == '<<'
        if token.type != tokenize.COMMENT:
            before = token.type
    return found


def test_nothing_else_knows_a_family() -> None:
    """No module outside names what only they have."""
    others = [
        file
        for file in ENGINE.rglob('*.py')
        if not OWN & set(file.parents) and file not in NAME_IT
    ]
    assert len(others) > 80
    assert {
        str(file.relative_to(ENGINE)): names for file in others if (names := specifics(file))
    } == {}


def test_the_search_finds_what_the_families_name() -> None:
    """Else the test above could not fail."""
    found = {name for folder in OWN for file in folder.glob('*.py') for name in specifics(file)}
    assert found > {
        '14',
        '28',
        'window_size',
        'windows',
        'tokens_per_second',
        'mrope_',
        'deepstack',
        '<|im_',
        '_proj',
    }


def test_an_unknown_family_is_told_with_the_known_ones(tmp_path: pathlib.Path) -> None:
    """One sentence that names the model's type and those that are run."""
    (tmp_path / 'config.json').write_text('{"model_type": "gemma9"}')
    with pytest.raises(ValueError, match='holds a gemma9 model; this package runs ') as caught:
        family_at(tmp_path)
    assert all(known in str(caught.value) for known in FAMILIES)
