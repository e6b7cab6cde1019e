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

PAD, START, END = '<|video_pad|>', '<|vision_start|>', '<|vision_end|>'
MERGE, TEMPORAL = 2, 2


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A prompt with its videos.

    Attributes:
        ids: of the prompt, PAD once for every merged patch.
        patches: of each video, float32 [t h w, values].
        grids: of each video, (t, h, w) patches.
        times_ns: of each video's temporal patches.

    In the prompt of a family that writes times, every temporal patch is a video.

    """

    ids: list[int]
    patches: list[torch.Tensor]
    grids: list[tuple[int, int, int]]
    times_ns: list[list[int]]


@dataclasses.dataclass(frozen=True)
class Video:
    """RGB uint8 frames [h, w, 3] of one size, and the times of each in nanoseconds."""

    frames: Sequence[np.ndarray]
    times_ns: Sequence[int]

    @property
    def patch_times_ns(self) -> list[int]:
        """The time of every temporal patch: its first frame's."""
        return list(self.times_ns[::TEMPORAL])


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

    def make(self, videos: Sequence[Video], text: str) -> Inputs:
        """Return the inputs of one user turn: videos, then a text."""


def inputter(asked: Asked) -> Inputter:
    """Return stock's processor where its video processor can be imported."""
    why = _why_not()
    if why:
        return _WrittenOut(asked, why)
    return _TimedStock(asked.folder) if asked.timed else _Stock(asked.folder)


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

    def make(self, videos: Sequence[Video], text: str) -> Inputs:
        """See ``Inputter``."""
        rendered = self._processor.apply_chat_template(
            _turn(len(videos), text), tokenize=False, add_generation_prompt=True
        )
        made = self._processor(
            text=[rendered],
            videos=[np.stack(each.frames) for each in videos],
            return_tensors='pt',
        )
        grids = [tuple(each) for each in made['video_grid_thw'].tolist()]
        patches = made['pixel_values_videos'].split([math.prod(grid) for grid in grids])
        times = [each.patch_times_ns for each in videos]
        return Inputs(made['input_ids'][0].tolist(), list(patches), grids, times)


class _TimedStock(_Stock):
    """`AutoProcessor` of a family that writes times.

    Its video processor makes the patches.  The prompt is written out: processors of transformers
    5.17 to 5.23 leave the template's marks around the whole video, beside those of each patch,
    which the release that the models came with takes away.
    """

    def make(self, videos: Sequence[Video], text: str) -> Inputs:
        """See ``Inputter``."""
        rendered = self._processor.apply_chat_template(
            _turn(len(videos), text), tokenize=False, add_generation_prompt=True
        )
        made = []
        for video in videos:
            out = self._processor.video_processor(
                [torch.from_numpy(np.stack(video.frames)).permute(0, 3, 1, 2)],
                do_sample_frames=False,
                cap_pixels_per_frame=True,
                return_tensors='pt',
            )
            made.append((out['pixel_values_videos'], tuple(out['video_grid_thw'][0].tolist())))
        return timed_inputs(self.tokenizer, rendered, videos, made)


class _WrittenOut:
    """The same without torchvision: the tokenizer is stock's, the arithmetic is written out."""

    name = 'written out'

    def __init__(self, asked: Asked, why: str) -> None:
        self.why = why
        self._timed = asked.timed
        self._settings = asked.min_pixels, asked.max_pixels, asked.mean, asked.std, asked.patch
        self.tokenizer = AutoTokenizer.from_pretrained(asked.folder, trust_remote_code=False)
        self._template = _template(pathlib.Path(asked.folder))

    def make(self, videos: Sequence[Video], text: str) -> Inputs:
        """See ``Inputter``."""
        made = [patches_of(each.frames, *self._settings, self._timed) for each in videos]
        rendered = self.tokenizer.apply_chat_template(
            _turn(len(videos), text),
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
        )
        if self._timed:
            return timed_inputs(self.tokenizer, rendered, videos, made)
        first, *rest = rendered.split(PAD)
        for (_, grid), after in zip(made, rest):
            first += PAD * (math.prod(grid) // MERGE**2) + after
        ids = self.tokenizer.encode(first, add_special_tokens=False)
        times = [each.patch_times_ns for each in videos]
        return Inputs(ids, [patches for patches, _ in made], [grid for _, grid in made], times)


def timed_inputs(
    tokenizer: Any,
    rendered: str,
    videos: Sequence[Video],
    made: Sequence[tuple[torch.Tensor, tuple[int, int, int]]],
) -> Inputs:
    """Return the inputs of a prompt in which every temporal patch stands after its time.

    Args:
        tokenizer: of the model.
        rendered: the prompt, with marks and one pad for each video.
        videos: in their order.
        made: patches and grid of each.

    """
    prompt, *rest = rendered.split(f'{START}{PAD}{END}')
    patches, grids, times = [], [], []
    for video, (cut, (t, h, w)), after in zip(videos, made, rest):
        seconds = [(each - videos[0].times_ns[0]) / 10**9 for each in video.times_ns]
        for first in range(0, len(seconds), TEMPORAL):
            pair = seconds[first : first + TEMPORAL]
            marked = f'{START}{PAD * (h * w // MERGE**2)}{END}'
            prompt += f'<{(pair[0] + pair[-1]) / 2:.1f} seconds>{marked}'
        prompt += after
        patches += cut.split(h * w)
        grids += [(1, h, w)] * t
        times += [[each] for each in video.patch_times_ns]
    return Inputs(tokenizer.encode(prompt, add_special_tokens=False), patches, grids, times)


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
    patch: int = 14,
    timed: bool = False,
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Resize and cut RGB uint8 frames [h, w, 3] as the stock video processor does.

    Bytes are resized to bytes: bicubic with antialiasing, weights and the bytes between the two
    directions in fixed point.

    Returns:
        Patches float32 [t h w, 3 * 2 * patch^2], and (t, h, w).

    """
    rows, columns = frames[0].shape[:2]
    if timed and min(rows, columns) < patch * MERGE:
        # Stock's rule for videos of such families: no side is shorter than a token's.
        scale = patch * MERGE / min(rows, columns)
        rows, columns = int(rows * scale), int(columns * scale)
    height, width = _sides(rows, columns, patch * MERGE, min_pixels, max_pixels)
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    if pixels.shape[2:] != (height, width):
        pixels = functional.interpolate(pixels, (height, width), mode='bicubic', antialias=True)
    if len(pixels) % TEMPORAL:
        pixels = torch.cat([pixels, pixels[-1:]])
    centre, spread = (torch.tensor(list(each)).view(3, 1, 1) * 255 for each in (mean, std))
    scaled = (pixels.float() - centre) / spread
    grid = len(scaled) // TEMPORAL, height // patch, width // patch
    rows, columns = grid[1] // MERGE, grid[2] // MERGE
    cut = scaled.view(grid[0], TEMPORAL, 3, rows, MERGE, patch, columns, MERGE, patch)
    cut = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return cut.reshape(math.prod(grid), -1), grid


def _sides(height: int, width: int, token: int, least: int, most: int) -> tuple[int, int]:
    """Return sides that are multiples of a token's, with an area within the bounds."""
    sides = [max(token, round(side / token) * token) for side in (height, width)]
    if math.prod(sides) > most:
        by = math.sqrt(height * width / most)
        sides = [max(token, math.floor(s / by / token) * token) for s in (height, width)]
    elif math.prod(sides) < least:
        by = math.sqrt(least / (height * width))
        sides = [math.ceil(side * by / token) * token for side in (height, width)]
    return sides[0], sides[1]
