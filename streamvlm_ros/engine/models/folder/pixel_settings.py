# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model's preprocessing, out of the files and the spellings that transformers writes it in."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import math
import os
from typing import Any

from streamvlm_ros.engine.models.folder.files import expand, read_json
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig

# Files and their sections; the first that is there counts, as for transformers' video processor
# (video_processing_utils.py, get_video_processor_dict).  Release 5 saves sections of one file.
SOURCES = (
    ('processor_config.json', 'video_processor'),
    ('video_preprocessor_config.json', ''),
    ('preprocessor_config.json', ''),
    ('processor_config.json', 'image_processor'),
)
# A bound's own name, and those that it has in `size`.
BOUNDS = {
    'min_pixels': ('shortest_edge', 'min_pixels'),
    'max_pixels': ('longest_edge', 'max_pixels'),
}
# Largest numbers of a preprocessor.  A frame is enlarged to min_pixels, so that is memory.
LARGEST = {
    'patch_size': 256,
    'temporal_patch_size': 16,
    'merge_size': 16,
    'min_pixels': 1 << 24,
    'max_pixels': 1 << 28,
}
# What every model of the families here has; stock would compute other pixels with another value.
FIXED: dict[str, Any] = {
    'do_resize': True,
    'do_rescale': True,
    'do_normalize': True,
    'resample': 3,  # bicubic
    'rescale_factor': 1 / 255,
}
# All that is read.
SETTINGS = (*LARGEST, 'size', 'image_mean', 'image_std', *FIXED)


def load_pixel_settings(
    path: str | os.PathLike[str], default: ImageProcessorConfig
) -> ImageProcessorConfig:
    """Return the preprocessing of a hub id or a local folder.

    Args:
        path: hub id or folder.
        default: the family's, for what files leave out; they cannot leave out the pixel bounds.

    Raises:
        OSError: a file cannot be read.
        ValueError: no file has pixel bounds, or a value is of another kind, out of its bounds, or
            one that pixels are not computed with here.

    """
    for name, content in _sources(path):
        return read_pixel_settings(content, f'{expand(path)}/{name}', default)
    raise ValueError(
        f'{path} has no pixel bounds (min_pixels and max_pixels, or size): they stand in '
        'video_preprocessor_config.json, preprocessor_config.json or processor_config.json. Copy '
        'that file from the model that this one was made of.'
    )


def _sources(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in SOURCES:
        content = read_json(path, name)
        if not section and content:
            yield name, content
        elif isinstance(content.get(section), dict):
            yield f'{name} ({section})', content[section]


def read_pixel_settings(
    settings: dict[str, Any], name: str, default: ImageProcessorConfig
) -> ImageProcessorConfig:
    """Return the preprocessing that a file called ``name`` describes.

    Raises:
        ValueError: as ``load_pixel_settings``.

    """
    made = dataclasses.replace(
        default,
        **{each: _number(settings, each, name, getattr(default, each)) for each in LARGEST},
        mean=_three(settings, 'image_mean', name, -math.inf, default.mean),
        std=_three(settings, 'image_std', name, 0.0, default.std),
    )
    if made.min_pixels > made.max_pixels:
        raise ValueError(
            f'{name}: min_pixels is {made.min_pixels} and max_pixels '
            f'{made.max_pixels}; it must not be larger.'
        )
    for key, wanted in FIXED.items():
        found = settings.get(key)
        if found is None or found == wanted:
            continue
        if not isinstance(found, float) or not math.isclose(found, wanted, rel_tol=1e-12):
            raise ValueError(
                f'{name}: {key} is {found!r:.80}; images are prepared with {wanted!r} only.'
            )
    return made.of_frames()


def _number(settings: dict[str, Any], key: str, name: str, fallback: int) -> int:
    """Return an integer; a bound has to be there.  A bound of its own counts before `size`."""
    found = settings.get(key)
    if key in BOUNDS:
        size = settings.get('size') or {}
        if not hasattr(size, 'get'):
            raise ValueError(f'{name}: size is {size!r:.80}; it must be an object.')
        for spelling in BOUNDS[key]:
            found = size.get(spelling) if found is None else found
        if found is None:
            raise ValueError(
                f'{name} has no pixel bounds: {key} is missing, which can also be '
                f'{" or ".join(f"size.{spelling}" for spelling in BOUNDS[key])}. Copy that file '
                'from the model that this one was made of.'
            )
    if found is None:
        return fallback
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= LARGEST[key]:
        raise ValueError(
            f'{name}: {key} is {found!r:.80}; it must be an integer from 1 to {LARGEST[key]}.'
        )
    return found


def _three(
    settings: dict[str, Any], key: str, name: str, least: float, fallback: tuple[float, ...]
) -> tuple[float, ...]:
    """Return one number for each colour."""
    found = settings.get(key)
    if found is None:
        return fallback
    if (
        not isinstance(found, (list, tuple))
        or len(found) != 3
        or not all(isinstance(x, (int, float)) and least < x < math.inf for x in found)
    ):
        raise ValueError(
            f'{name}: {key} is {found!r:.80}; it must be three numbers above {least:g}.'
        )
    return tuple(found)
