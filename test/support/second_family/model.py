# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model family made up for tests, as unlike Qwen2.5-VL as the engine allows.

Its axes take turns over the frequencies, queries and keys have norms, the decoder has no biases
and heads whose widths do not sum up to the hidden size. Patches have 8 pixels a side, and the
vision encoder attends over all of them, has learned positions, and gives features to the first
two decoder layers besides. Every temporal patch is a vision segment after its time in digits.
"""

from __future__ import annotations

import functools
import math
from typing import Any, cast

from support.second_family.positions import rebase_plan, StillTime
import torch
from torch import nn
from torch.nn import functional

from streamvlm_ros.engine.models.base import ModelFamily, StreamingModel
from streamvlm_ros.engine.models.decoder import DecoderParts
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.ops.weights import join
from streamvlm_ros.engine.positions import Grid

EPSILON = 1e-6
HIDDEN, LAYERS, HEADS, KV_HEADS, WIDTH = 48, 3, 6, 2, 16
SIDE_OUTPUTS = 2
VISION, VISION_HEADS, VISION_BLOCKS = 32, 2, 2
PATCH, TEMPORAL, MERGE = 8, 2, 2
LONGEST_SIDE = 8  # rows or columns of patches that have a learned position
CONTROL = ('[turn]', '[/turn]', '[see]', '[/see]', '[dot]')
CONTROL_ID = {token: 256 + index for index, token in enumerate(CONTROL)}
VOCABULARY = 256 + len(CONTROL)
FREQUENCIES = 100.0 ** -(torch.arange(WIDTH // 2) / (WIDTH // 2))


class Layer(nn.Module):
    """A decoder layer."""

    def __init__(self) -> None:
        """Make its modules."""
        super().__init__()
        self.before, self.middle = nn.RMSNorm(HIDDEN, EPSILON), nn.RMSNorm(HIDDEN, EPSILON)
        self.norm_q, self.norm_k = nn.RMSNorm(WIDTH, EPSILON), nn.RMSNorm(WIDTH, EPSILON)
        self.mixer = nn.ModuleDict(
            {
                'q': nn.Linear(HIDDEN, HEADS * WIDTH, bias=False),
                'k': nn.Linear(HIDDEN, KV_HEADS * WIDTH, bias=False),
                'v': nn.Linear(HIDDEN, KV_HEADS * WIDTH, bias=False),
                'o': nn.Linear(HEADS * WIDTH, HIDDEN, bias=False),
            }
        )
        self.mlp = nn.ModuleDict(
            {
                'gate': nn.Linear(HIDDEN, 2 * HIDDEN, bias=False),
                'up': nn.Linear(HIDDEN, 2 * HIDDEN, bias=False),
                'down': nn.Linear(2 * HIDDEN, HIDDEN, bias=False),
            }
        )


class Block(nn.Module):
    """A block of the vision encoder: attention over one temporal patch, and an MLP."""

    def __init__(self) -> None:
        """Make its modules."""
        super().__init__()
        self.norm, self.mlp_norm = nn.LayerNorm(VISION), nn.LayerNorm(VISION)
        self.qkv, self.out = nn.Linear(VISION, 3 * VISION), nn.Linear(VISION, VISION)
        self.mlp = nn.Sequential(
            nn.Linear(VISION, 2 * VISION), nn.GELU(), nn.Linear(2 * VISION, VISION)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [t, patches, VISION] for the same."""
        heads = self.qkv(self.norm(x)).unflatten(2, (3, VISION_HEADS, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))


class Eye(nn.Module):
    """The vision encoder."""

    def __init__(self) -> None:
        """Make its modules."""
        super().__init__()
        self.embed = nn.Linear(3 * TEMPORAL * PATCH**2, VISION)
        self.rows, self.columns = (nn.Embedding(LONGEST_SIDE, VISION) for _ in range(2))
        self.blocks = nn.ModuleList(Block() for _ in range(VISION_BLOCKS))
        unit = MERGE**2 * VISION
        self.mergers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(unit), nn.Linear(unit, HIDDEN))
            for _ in range(1 + SIDE_OUTPUTS)
        )

    def forward(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return [t * h * w, (1 + SIDE_OUTPUTS) * HIDDEN]."""
        rows = torch.arange(grid.h * MERGE, device=patches.device).view(grid.h, 1, MERGE, 1)
        columns = torch.arange(grid.w * MERGE, device=patches.device).view(1, grid.w, 1, MERGE)
        place = (self.rows(rows) + self.columns(columns)).flatten(0, 3)
        x = self.embed(patches).view(grid.t, -1, VISION) + place
        seen = []
        for block in self.blocks:
            x = block(x)
            seen.append(x)
        features = zip(self.mergers, (seen[-1], *seen), strict=True)
        return torch.cat(
            [merger(each.reshape(math.prod(grid), -1)) for merger, each in features], dim=1
        )


class LanternModel(StreamingModel):
    """The model."""

    recordable = True

    def __init__(self, family: ModelFamily) -> None:
        """Build the model with random weights."""
        super().__init__()
        self._family = family
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.stack = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.last = nn.RMSNorm(HIDDEN, EPSILON)
        self.say = nn.Linear(HIDDEN, VOCABULARY, bias=False)
        self.eye = Eye()
        self.parts = DecoderParts(
            embedding=self.words,
            layers=cast(Any, self.stack),
            norm=self.last,
            epsilon=EPSILON,
            head=self.say,
            heads=HEADS,
            kv_heads=KV_HEADS,
            head_size=WIDTH,
            video_token_id=CONTROL_ID['[dot]'],
            projections={'mixer': ('q', 'k', 'v', 'o'), 'mlp': ('gate', 'up', 'down')},
            side_outputs=SIDE_OUTPUTS,
        )

    @property
    def family(self) -> ModelFamily:
        """See ``StreamingModel``."""
        return self._family

    @property
    def generation(self) -> GenerationSettings:
        """See ``StreamingModel``: only the end of a turn ends an answer."""
        return GenerationSettings()

    @property
    def trained_positions(self) -> int:
        """See ``StreamingModel``."""
        return 4096

    @functools.cached_property
    def position_rule(self) -> PositionRule:
        """See ``StreamingModel``."""
        return PositionRule(self.parts.video_token_id, StillTime(), rebase_plan)

    @functools.cached_property
    def rotation(self) -> MRope:
        """See ``StreamingModel``: the axes take turns."""
        return MRope(FREQUENCIES.to(self.device), torch.arange(WIDTH // 2) % 3)

    @functools.cached_property
    def layers(self) -> list[LayerWeights]:
        """See ``StreamingModel``."""
        return [
            LayerWeights(
                layer.before.weight,
                EPSILON,
                join([layer.mixer[name] for name in 'qkv']),
                None,
                layer.mixer['o'].weight,
                layer.middle.weight,
                join([layer.mlp['gate'], layer.mlp['up']]),
                layer.mlp['down'].weight,
                layer.norm_q.weight,
                layer.norm_k.weight,
            )
            for layer in cast(Any, self.stack)
        ]

    def encode_video(
        self, patches: torch.Tensor, grid: Grid, operations: Operations | None = None
    ) -> torch.Tensor:
        """See ``StreamingModel``."""
        return self.eye(patches.to(self.device, self.dtype), grid)

    def description(self) -> dict[str, Any]:
        """See ``StreamingModel``."""
        return {
            'model.layers': LAYERS,
            'model.rotation': FREQUENCIES.tolist(),
            'vision.blocks': VISION_BLOCKS,
        }
