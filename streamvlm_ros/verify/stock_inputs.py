# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A prompt as stock's own processor makes it; written out where that cannot be imported."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import importlib
import importlib.util
import json
import math
import pathlib
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoProcessor, AutoTokenizer

from streamvlm_ros.verify.exchange import Asked

PAD = '<|video_pad|>'
PATCH, MERGE, TEMPORAL = 14, 2, 2
FACTOR = PATCH * MERGE


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A prompt with its videos.

    Attributes:
        ids: of the prompt, PAD once for every merged patch.
        patches: of each video, float32 [t h w, values].
        grids: of each video, (t, h, w) patches.

    """

    ids: list[int]
    patches: list[torch.Tensor]
    grids: list[tuple[int, int, int]]


class Inputter(Protocol):
    """Makes inputs.

    Attributes:
        name: 'stock' or 'written out'.
        why: why it is not stock's; '' if it is.
        tokenizer: stock's.

    """

    name: str
    why: str
    tokenizer: Any

    def make(self, videos: Sequence[Sequence[np.ndarray]], text: str) -> Inputs:
        """Return the inputs of one user turn: videos of RGB uint8 frames, then a text."""


def inputter(asked: Asked) -> Inputter:
    """Return stock's processor where its video processor can be imported."""
    why = _why_not()
    return _WrittenOut(asked, why) if why else _Stock(asked.folder)


def _why_not() -> str:
    if importlib.util.find_spec('torchvision') is None:
        return 'torchvision is not installed'
    try:
        importlib.import_module('torchvision.transforms.v2.functional')
    except Exception as error:  # whatever a build for another PyTorch brings about
        return f'torchvision cannot be imported ({type(error).__name__}: {error!s:.100})'
    return ''


def _turn(videos: int, text: str) -> list[dict[str, Any]]:
    content = [*({'type': 'video'} for _ in range(videos)), {'type': 'text', 'text': text}]
    return [{'role': 'user', 'content': content}]


class _Stock:
    """`AutoProcessor`."""

    name, why = 'stock', ''

    def __init__(self, folder: str) -> None:
        self._processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        self.tokenizer = self._processor.tokenizer

    def make(self, videos: Sequence[Sequence[np.ndarray]], text: str) -> Inputs:
        """See ``Inputter``."""
        rendered = self._processor.apply_chat_template(
            _turn(len(videos), text), tokenize=False, add_generation_prompt=True
        )
        made = self._processor(
            text=[rendered], videos=[np.stack(each) for each in videos], return_tensors='pt'
        )
        grids = [tuple(each) for each in made['video_grid_thw'].tolist()]
        patches = made['pixel_values_videos'].split([math.prod(grid) for grid in grids])
        return Inputs(made['input_ids'][0].tolist(), list(patches), grids)


class _WrittenOut:
    """The same without torchvision: the tokenizer is stock's, the arithmetic is written out."""

    name = 'written out'

    def __init__(self, asked: Asked, why: str) -> None:
        self.why = why
        self._settings = asked.min_pixels, asked.max_pixels, asked.mean, asked.std
        self.tokenizer = AutoTokenizer.from_pretrained(asked.folder, trust_remote_code=False)
        self._template = _template(pathlib.Path(asked.folder))

    def make(self, videos: Sequence[Sequence[np.ndarray]], text: str) -> Inputs:
        """See ``Inputter``."""
        made = [patches_of(each, *self._settings) for each in videos]
        rendered = self.tokenizer.apply_chat_template(
            _turn(len(videos), text),
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
        )
        first, *rest = rendered.split(PAD)
        for (_, grid), after in zip(made, rest):
            first += PAD * (math.prod(grid) // MERGE**2) + after
        ids = self.tokenizer.encode(first, add_special_tokens=False)
        return Inputs(ids, [patches for patches, _ in made], [grid for _, grid in made])


def _template(folder: pathlib.Path) -> str | None:
    """Return the chat template of a processor's own file; None: the tokenizer has it."""
    jinja, values = folder / 'chat_template.jinja', folder / 'chat_template.json'
    if jinja.is_file():
        return jinja.read_text(encoding='utf-8')
    if values.is_file():
        return str(json.loads(values.read_text(encoding='utf-8'))['chat_template'])
    return None


def patches_of(
    frames: Sequence[np.ndarray],
    min_pixels: int,
    max_pixels: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Resize and cut RGB uint8 frames [h, w, 3] as the stock video processor does.

    Bytes are resized to bytes: bicubic with antialiasing, weights and the bytes between the two
    directions in fixed point.

    Returns:
        Patches float32 [t h w, 3 * 2 * 14 * 14], and (t, h, w).

    """
    rows, columns = frames[0].shape[:2]
    height, width = _sides(rows, columns, min_pixels, max_pixels)
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    if pixels.shape[2:] != (height, width):
        pixels = functional.interpolate(pixels, (height, width), mode='bicubic', antialias=True)
    if len(pixels) % TEMPORAL:
        pixels = torch.cat([pixels, pixels[-1:]])
    centre, spread = (torch.tensor(list(each)).view(3, 1, 1) * 255 for each in (mean, std))
    scaled = (pixels.float() - centre) / spread
    grid = len(scaled) // TEMPORAL, height // PATCH, width // PATCH
    rows, columns = grid[1] // MERGE, grid[2] // MERGE
    cut = scaled.view(grid[0], TEMPORAL, 3, rows, MERGE, PATCH, columns, MERGE, PATCH)
    cut = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return cut.reshape(math.prod(grid), -1), grid


def _sides(height: int, width: int, least: int, most: int) -> tuple[int, int]:
    """Return sides that are multiples of `FACTOR` with an area within the bounds."""
    sides = [max(FACTOR, round(side / FACTOR) * FACTOR) for side in (height, width)]
    if math.prod(sides) > most:
        by = math.sqrt(height * width / most)
        sides = [max(FACTOR, math.floor(s / by / FACTOR) * FACTOR) for s in (height, width)]
    elif math.prod(sides) < least:
        by = math.sqrt(least / (height * width))
        sides = [math.ceil(side * by / FACTOR) * FACTOR for side in (height, width)]
    return sides[0], sides[1]
