# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stock transformers answers on the frames of a view; written apart from the engine.

The prompt is what the model's chat template renders for these frames, the patches are those of
the stock processor, and the positions are written out token by token.  Nothing here calls the
engine's code for prompts, positions, views or the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from streamvlm_ros.engine.models.processor import StreamProcessor

PAD = '<|video_pad|>'
SECOND = 10**9
LONGEST = 60 * SECOND  # of a span that is one video
PATCH, MERGE = 14, 2


@dataclasses.dataclass(frozen=True)
class Picture:
    """A frame: its stamp in nanoseconds, and RGB uint8 [h, w, 3]."""

    stamp_ns: int
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Video:
    """One video of a prompt: its temporal patches, and the text before it."""

    patches: Sequence[tuple[Picture, Picture]]
    bounds: tuple[int, int]  # least and most pixels
    text: str = ''


def newest(pictures: Sequence[Picture], count: int, bounds: tuple[int, int]) -> list[Video]:
    """Return the videos of the view `now`."""
    return _videos(pictures[-count:], bounds)


def span(
    pictures: Sequence[Picture], since: int, until: int, count: int, bounds: tuple[int, int]
) -> list[Video]:
    """Return the videos of the view `span`."""
    there = [p for p in pictures if p.stamp_ns >= since and (not until or p.stamp_ns <= until)]
    if len(there) > count:
        pairs, last = count // 2, len(there) - 2
        begin = [round(k * last / (pairs - 1)) for k in range(pairs)] if pairs > 1 else [last]
        there = [there[index + of] for index in begin for of in (0, 1)]
    if there[-1].stamp_ns - there[0].stamp_ns <= LONGEST:
        return _videos(there, bounds)
    first = there[0].stamp_ns
    return [
        Video([patch], bounds, f'<{(patch[0].stamp_ns - first) / SECOND:.1f} seconds>')
        for patch in _patches(there)
    ]


def whole(pictures: Sequence[Picture], bounds: tuple[int, int], chunk: int) -> list[Video]:
    """Return the videos of all that a stream has seen; a video a chunk unless `chunk` is 0."""
    if not chunk:
        return _videos(pictures, bounds)
    starts = range(0, len(pictures), chunk)
    return [Video(_patches(pictures[at : at + chunk]), bounds) for at in starts]


def _patches(pictures: Sequence[Picture]) -> list[tuple[Picture, Picture]]:
    pairs = [(*pictures[at : at + 2], pictures[at])[:2] for at in range(0, len(pictures), 2)]
    made: list[tuple[Picture, Picture]] = []
    for one, other in pairs:
        same = one.image.shape == other.image.shape
        made += [(one, other)] if same else [(one, one), (other, other)]
    return made


def _videos(pictures: Sequence[Picture], bounds: tuple[int, int]) -> list[Video]:
    videos: list[list[tuple[Picture, Picture]]] = []
    for patch in _patches(pictures):
        if videos and videos[-1][-1][0].image.shape == patch[0].image.shape:
            videos[-1].append(patch)
        else:
            videos.append([patch])
    return [Video(patches, bounds) for patches in videos]


def cut(
    frames: Sequence[np.ndarray],
    least: int,
    most: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Resize and cut frames as the stock video processor does; return patches and their grid."""
    sides, factor = frames[0].shape[:2], PATCH * MERGE
    height, width = (max(factor, round(side / factor) * factor) for side in sides)
    if height * width > most:
        by = math.sqrt(sides[0] * sides[1] / most)
        height, width = (max(factor, math.floor(s / by / factor) * factor) for s in sides)
    elif height * width < least:
        by = math.sqrt(least / (sides[0] * sides[1]))
        height, width = (math.ceil(side * by / factor) * factor for side in sides)
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    if pixels.shape[2:] != (height, width):
        pixels = functional.interpolate(pixels, (height, width), mode='bicubic', antialias=True)
    centre, spread = (torch.tensor(list(each)).view(3, 1, 1) * 255 for each in (mean, std))
    scaled = (pixels.float() - centre) / spread
    rows, columns = height // factor, width // factor
    shape = -1, 2, 3, rows, MERGE, PATCH, columns, MERGE, PATCH
    patches = scaled.view(shape).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    grid = len(frames) // 2, height // PATCH, width // PATCH
    return patches.reshape(math.prod(grid), -1), grid


class Stock:
    """Stock transformers with the weights of one of our models."""

    def __init__(self, model: Any, processor: StreamProcessor) -> None:
        """Take the weights and the tokenizer; everything is in float32 on the CPU."""
        from transformers import Qwen2_5_VLForConditionalGeneration

        self._stock = Qwen2_5_VLForConditionalGeneration._from_config(
            model.config, attn_implementation='eager'
        ).eval()
        self._stock.load_state_dict(model.state_dict(), strict=True)
        self._tokenizer, self._template = processor.tokenizer, processor.chat_template
        self._look = processor.pixels.mean, processor.pixels.std
        self._pad = self._tokenizer.convert_tokens_to_ids(PAD)
        # A small vocabulary does not have the tokens that the configuration names.
        turn_end = self._tokenizer.convert_tokens_to_ids('<|im_end|>')
        self._stop = {*model.generation.stop_tokens, turn_end}

    @torch.no_grad()
    def answer(
        self, videos: Sequence[Video], question: str, tokens: Sequence[int], most: int
    ) -> list[int]:
        """Return the tokens of a greedy answer, each one after those of ``tokens`` before it.

        If they are equal, they are what stock generates: at most ``most``, up to the first stop.
        """
        ids, patches, grids, elapsed = self._inputs(videos, question)
        sequence = [*ids, *tokens[: most - 1]]
        logits = self._stock(
            input_ids=torch.tensor([sequence]),
            position_ids=self._positions(sequence, grids, elapsed)[:, None],
            attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
            pixel_values_videos=patches,
            video_grid_thw=torch.tensor(grids),
            use_cache=False,
        ).logits[0, len(ids) - 1 :]
        drawn = logits.argmax(-1).tolist()
        ends = next((at for at, token in enumerate(drawn) if token in self._stop), most - 1)
        return drawn[: ends + 1]

    def _inputs(
        self, videos: Sequence[Video], question: str
    ) -> tuple[list[int], torch.Tensor, list[tuple[int, int, int]], list[list[int]]]:
        content: list[dict[str, str]] = []
        made = []
        for video in videos:
            if video.text:
                content.append({'type': 'text', 'text': video.text})
            content.append({'type': 'video'})
            frames = [picture.image for patch in video.patches for picture in patch]
            made.append(cut(frames, *video.bounds, *self._look))
        content.append({'type': 'text', 'text': question})
        rendered = self._tokenizer.apply_chat_template(
            [{'role': 'user', 'content': content}],
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
        )
        first, *rest = rendered.split(PAD)
        for (_, grid), after in zip(made, rest, strict=True):
            first += PAD * (math.prod(grid) // 4) + after
        ids = self._tokenizer.encode(first, add_special_tokens=False)
        elapsed = [
            [patch[0].stamp_ns - video.patches[0][0].stamp_ns for patch in video.patches]
            for video in videos
        ]
        return ids, torch.cat([each for each, _ in made]), [grid for _, grid in made], elapsed

    def _positions(
        self, ids: list[int], grids: list[tuple[int, int, int]], elapsed: list[list[int]]
    ) -> torch.Tensor:
        rate = self._stock.config.vision_config.tokens_per_second
        rows: list[tuple[int, int, int]] = []
        following, at, videos = 0, 0, iter(zip(grids, elapsed))
        while at < len(ids):
            if ids[at] != self._pad:
                rows.append((following, following, following))
                following, at = following + 1, at + 1
                continue
            (_, height, width), times = next(videos)
            block = [
                (following + int(time * rate // SECOND), following + y, following + x)
                for time in times
                for y in range(height // 2)
                for x in range(width // 2)
            ]
            rows += block
            following, at = max(max(row) for row in block) + 1, at + len(block)
        return torch.tensor(rows).T
