# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The second family in plain torch: one forward over the whole token sequence, without a cache.

Written apart from the engine on purpose: nothing here is imported from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np
import torch
from torch.nn import functional

HEADS, KV_HEADS, WIDTH, BANDS = 6, 2, 16, 8
DOT, TURN_END = 256 + 4, 256 + 1


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Text, or the video tokens of a temporal patch.

    Attributes:
        ids: of the tokens.
        features: of a patch, [tokens, 3 * hidden size]; None for text.
        columns: of a patch's token grid.

    """

    ids: list[int]
    features: torch.Tensor | None = None
    columns: int = 0

    def positions(self, start: int) -> list[tuple[int, int, int]]:
        """Return T, H and W of every token, if the first free position is ``start``."""
        if self.features is None:
            return [(start + i,) * 3 for i in range(len(self.ids))]
        grid = (divmod(i, self.columns) for i in range(len(self.ids)))
        return [(start, start + row, start + column) for row, column in grid]


@dataclasses.dataclass(frozen=True)
class Pass:
    """Tokens that were run together.

    Attributes:
        seen: the tokens before them that they see.
        own: these tokens, each of which sees itself and those before it.
        positions: of ``seen`` and then ``own``, as they were then.

    """

    seen: list[int]
    own: list[int]
    positions: list[tuple[int, int, int]]


def place(pieces: Sequence[Piece], start: int = 0) -> list[tuple[int, int, int]]:
    """Return the positions of all tokens of pieces that follow each other."""
    placed: list[tuple[int, int, int]] = []
    for piece in pieces:
        placed += piece.positions(start)
        start = max(start, *(max(row) + 1 for row in placed))
    return placed


class Reference:
    """The model, made of its weights by their names."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take the weights."""
        self._weights = weights

    def see(self, images: Sequence[np.ndarray]) -> Piece:
        """Return the piece of a temporal patch that shows two images."""
        pixels = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])
        sides = [min(max(side // 16 * 16, 16), 64) for side in pixels.shape[2:]]
        if sides != list(pixels.shape[2:]):
            pixels = functional.interpolate(pixels, sides, mode='bicubic', antialias=True)
        levels = pixels.float()
        mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
        levels = (levels / 255 - mean[:, None, None]) / std[:, None, None]
        rows, columns = sides[0] // 16, sides[1] // 16
        # Patches of one token follow each other.
        spots = [
            (2 * r + i, 2 * c + j)
            for r in range(rows)
            for c in range(columns)
            for i in (0, 1)
            for j in (0, 1)
        ]
        cut = [levels[:, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] for y, x in spots]
        patches = torch.stack([each.transpose(0, 1).flatten() for each in cut])
        y, x = (torch.tensor(axis) for axis in zip(*spots, strict=True))
        places = self._weights['eye.rows.weight'][y] + self._weights['eye.columns.weight'][x]
        hidden = self._affine('eye.embed', patches) + places
        first = self._block('eye.blocks.0', hidden)
        last = self._block('eye.blocks.1', first)
        tokens = rows * columns
        features = [
            self._affine(
                f'eye.mergers.{index}.1',
                self._layer_norm(f'eye.mergers.{index}.0', state.reshape(tokens, -1)),
            )
            for index, state in enumerate((last, first, last))
        ]
        return Piece([DOT] * tokens, torch.cat(features, dim=1), columns)

    @torch.no_grad()
    def logits(
        self, pieces: Sequence[Piece], passes: Sequence[Pass] | None = None
    ) -> torch.Tensor:
        """Return the logits after every token, [tokens, vocabulary].

        ``passes`` is one causal pass over all of them, unless it is given.
        """
        ids = [token for piece in pieces for token in piece.ids]
        if passes is None:
            passes = [Pass([], list(range(len(ids))), place(pieces))]
        hidden = self._weights['words.weight'][ids]
        sides = torch.zeros(2, *hidden.shape)
        start = 0
        for piece in pieces:
            end = start + len(piece.ids)
            if piece.features is not None:
                hidden[start:end], sides[0, start:end], sides[1, start:end] = piece.features.chunk(
                    3, dim=1
                )
            start = end
        for index in range(3):
            hidden = self._layer(f'stack.{index}', hidden, passes)
            if index < 2:
                hidden = hidden + sides[index]
        normed = self._rms('last', hidden)
        return normed @ self._weights['say.weight'].T

    def answer(
        self, pieces: Sequence[Piece], tokens: int, passes: Sequence[Pass] | None = None
    ) -> tuple[list[int], torch.Tensor]:
        """Return the greedy answer's tokens, and the logits of the first."""
        said: list[int] = []
        first = None
        while len(said) < tokens and TURN_END not in said:
            more = [*pieces, Piece(said)] if said else list(pieces)
            extended = passes
            if passes is not None and said:
                *before, last = passes
                start = max(map(max, last.positions)) + 1
                own = [*last.own, *range(last.own[-1] + 1, last.own[-1] + 1 + len(said))]
                placed = [*last.positions, *Piece(said).positions(start)]
                extended = [*before, Pass(last.seen, own, placed)]
            logits = self.logits(more, extended)[-1]
            first = logits if first is None else first
            said.append(int(logits.argmax()))
        assert first is not None
        return said, first

    def _layer(self, name: str, hidden: torch.Tensor, passes: Sequence[Pass]) -> torch.Tensor:
        x = self._rms(f'{name}.before', hidden)
        query, key, value = (
            self._linear(f'{name}.mixer.{each}', x).view(len(x), -1, WIDTH).transpose(0, 1)
            for each in 'qkv'
        )
        query, key = self._rms(f'{name}.norm_q', query), self._rms(f'{name}.norm_k', key)
        attended = torch.empty_like(query)
        group = HEADS // KV_HEADS
        for each in passes:
            index, seen = each.seen + each.own, len(each.seen)
            keys = rotated(key[:, index], each.positions).repeat_interleave(group, 0)
            queries = rotated(query[:, each.own], each.positions[seen:])
            scores = queries @ keys.mT / WIDTH**0.5
            later = torch.ones(len(each.own), len(each.own), dtype=torch.bool).triu(1)
            scores[..., seen:].masked_fill_(later, float('-inf'))
            values = value[:, index].repeat_interleave(group, 0)
            attended[:, each.own] = scores.softmax(-1) @ values
        hidden = hidden + self._linear(f'{name}.mixer.o', attended.transpose(0, 1).flatten(1))
        x = self._rms(f'{name}.middle', hidden)
        gate, up = (self._linear(f'{name}.mlp.{each}', x) for each in ('gate', 'up'))
        return hidden + self._linear(f'{name}.mlp.down', gate * gate.sigmoid() * up)

    def _block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        normed = self._layer_norm(f'{name}.norm', x)
        query, key, value = (
            part.view(len(x), 2, 16).transpose(0, 1)
            for part in self._affine(f'{name}.qkv', normed).chunk(3, dim=1)
        )
        attended = (query @ key.mT / 4).softmax(-1) @ value
        x = x + self._affine(f'{name}.out', attended.transpose(0, 1).flatten(1))
        inner = self._affine(f'{name}.mlp.0', self._layer_norm(f'{name}.mlp_norm', x))
        return x + self._affine(f'{name}.mlp.2', functional.gelu(inner))

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self._weights[f'{name}.weight'].T

    def _affine(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self._linear(name, x) + self._weights[f'{name}.bias']

    def _rms(self, name: str, x: torch.Tensor) -> torch.Tensor:
        scale = (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
        return x * scale * self._weights[f'{name}.weight']

    def _layer_norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._weights[f'{name}.weight'], self._weights[f'{name}.bias']
        return functional.layer_norm(x, x.shape[-1:], weight, bias)


def rotated(x: torch.Tensor, positions: Sequence[tuple[int, int, int]]) -> torch.Tensor:
    """Rotate [heads, n, WIDTH] band by band; the axes T, H and W take turns."""
    result = x.clone()
    for band in range(BANDS):
        places = torch.tensor([row[band % 3] for row in positions], dtype=torch.float32)
        angle = places * 100.0 ** -(band / BANDS)
        a, b = x[..., band], x[..., band + BANDS]
        result[..., band] = a * angle.cos() - b * angle.sin()
        result[..., band + BANDS] = b * angle.cos() + a * angle.sin()
    return result
