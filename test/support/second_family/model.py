# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model family made up for tests: as unlike Qwen2.5-VL as the engine allows.

Interleaved axes, norms of queries and keys, no biases in the decoder, patches of 8 pixels, whole
attention and learned positions in the vision encoder, features of it for the first two decoder
layers besides, and a text of varying length with the time before every temporal patch.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

from safetensors.torch import load_file
import torch
from torch import nn

from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.kvcache.rebase import first_place, Move
from streamvlm_ros.engine.models.base import (
    ModelFamily,
    PatchText,
    SpecialTokens,
    StreamingModel,
)
from streamvlm_ros.engine.models.folder.config import check_config
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.ops.weights import join
from streamvlm_ros.engine.positions import Grid, Segment, StreamState

MODEL_TYPE = 'lantern_vl'
EPSILON = 1e-6
HEADS, KV_HEADS, WIDTH, HIDDEN, LAYERS = 6, 2, 12, 48, 3
SIDE_OUTPUTS = 2
VISION, VISION_HEADS, VISION_BLOCKS = 32, 2, 2
LARGEST_SIDE = 64  # rows or columns of patches that have a learned position
CONTROL = ('[turn]', '[/turn]', '[see]', '[/see]', '[dot]')
VOCABULARY = 256 + len(CONTROL)


class Layer(nn.Module):
    """A decoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.middle = nn.RMSNorm(HIDDEN, EPSILON), nn.RMSNorm(HIDDEN, EPSILON)
        self.norm_q, self.norm_k = nn.RMSNorm(WIDTH, EPSILON), nn.RMSNorm(WIDTH, EPSILON)
        self.mixer = nn.ModuleDict({
            'q': nn.Linear(HIDDEN, HEADS * WIDTH, bias=False),
            'k': nn.Linear(HIDDEN, KV_HEADS * WIDTH, bias=False),
            'v': nn.Linear(HIDDEN, KV_HEADS * WIDTH, bias=False),
            'o': nn.Linear(HEADS * WIDTH, HIDDEN, bias=False)})
        self.mlp = nn.ModuleDict({
            'gate': nn.Linear(HIDDEN, 2 * HIDDEN, bias=False),
            'up': nn.Linear(HIDDEN, 2 * HIDDEN, bias=False),
            'down': nn.Linear(2 * HIDDEN, HIDDEN, bias=False)})


class Eye(nn.Module):
    """The vision encoder."""

    def __init__(self, pixels: ImageProcessorConfig) -> None:
        super().__init__()
        depth = 3 * pixels.temporal_patch_size * pixels.patch_size ** 2
        self.merge = pixels.merge_size
        self.embed = nn.Linear(depth, VISION)
        self.rows, self.columns = (nn.Embedding(LARGEST_SIDE, VISION) for _ in range(2))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(VISION, VISION_HEADS, 2 * VISION, dropout=0.0,
                                       batch_first=True, norm_first=True)
            for _ in range(VISION_BLOCKS))
        self.mergers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(self.merge ** 2 * VISION),
                          nn.Linear(self.merge ** 2 * VISION, HIDDEN))
            for _ in range(1 + SIDE_OUTPUTS))

    def forward(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return [t * h * w, (1 + SIDE_OUTPUTS) * HIDDEN]."""
        merge = self.merge
        rows = torch.arange(grid.h * merge).view(grid.h, 1, merge, 1)
        columns = torch.arange(grid.w * merge).view(1, grid.w, 1, merge)
        place = self.rows(rows) + self.columns(columns)
        x = self.embed(patches).view(grid.t, -1, VISION) + place.reshape(1, -1, VISION)
        seen = [x]
        for block in self.blocks:
            x = block(x)
            seen.append(x)
        return torch.cat([merger(each.reshape(grid.tokens, -1))
                          for merger, each in zip(self.mergers, (x, *seen))], dim=1)


class LanternPositions(PositionRule):
    """Time is in the text: T stands still within a vision segment."""

    def steps(self, segment: Segment, time_ns: int) -> int:
        """See ``PositionRule``."""
        return 0

    def can_follow(self, elapsed_ns: int, steps: int) -> bool:
        """See ``PositionRule``: no segment has a second temporal patch."""
        return False

    def rebase_plan(self, units: Sequence[CacheEntry], state: StreamState,
                    ) -> tuple[list[Move], StreamState]:
        """See ``PositionRule``: gaps are closed, all else keeps its distance."""
        moves: list[Move] = []
        shift = 0
        for unit in units:
            if moves:
                before = moves[-1].unit
                if before.first + before.tokens != unit.first:
                    shift = first_place(unit) - 1 - int(moves[-1].positions.max())
            moves.append(Move(unit, shift, shift))
        return moves, dataclasses.replace(
            state, last_cache_position=state.last_cache_position - shift)


class LanternModel(StreamingModel):
    """The model."""

    side_outputs = SIDE_OUTPUTS

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.stack = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.last = nn.RMSNorm(HIDDEN, EPSILON)
        self.say = nn.Linear(HIDDEN, VOCABULARY, bias=False)
        self.eye = Eye(LANTERN.pixels)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.words.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return self.words.weight.dtype

    @property
    def family(self) -> ModelFamily:
        """See ``StreamingModel``."""
        return LANTERN

    @property
    def stop_tokens(self) -> Sequence[int]:
        """See ``StreamingModel``: the end of a turn is all."""
        return ()

    @property
    def video_token_id(self) -> int:
        """See ``StreamingModel``."""
        return 256 + CONTROL.index('[dot]')

    @property
    def trained_positions(self) -> int:
        """See ``StreamingModel``."""
        return 4096

    @functools.cached_property
    def position_rule(self) -> LanternPositions:
        """See ``StreamingModel``."""
        return LanternPositions(self.video_token_id)

    @functools.cached_property
    def rotation(self) -> MRope:
        """See ``StreamingModel``: the axes take turns."""
        bands = torch.arange(WIDTH // 2)
        return MRope(FREQUENCIES.to(self.device), bands % 3)

    @functools.cached_property
    def layers(self) -> list[LayerWeights]:
        """See ``StreamingModel``."""
        return [
            LayerWeights(
                layer.before.weight, EPSILON,
                join([layer.mixer[name] for name in 'qkv']), None, layer.mixer['o'].weight,
                layer.middle.weight,
                join([layer.mlp['gate'], layer.mlp['up']]), layer.mlp['down'].weight,
                layer.norm_q.weight, layer.norm_k.weight)
            for layer in self.stack]

    @property
    def layer_modules(self) -> Sequence[nn.Module]:
        """See ``StreamingModel``."""
        return list(self.stack)

    @property
    def projections(self) -> dict[str, Sequence[str]]:
        """See ``StreamingModel``."""
        return {'mixer': ('q', 'k', 'v', 'o'), 'mlp': ('gate', 'up', 'down')}

    @property
    def kv_shape(self) -> tuple[int, int]:
        """See ``StreamingModel``."""
        return KV_HEADS, WIDTH

    @property
    def heads(self) -> int:
        """See ``StreamingModel``."""
        return HEADS

    @property
    def token_table(self) -> torch.Tensor:
        """See ``StreamingModel``."""
        return self.words.weight

    @property
    def final_norm(self) -> tuple[torch.Tensor, float]:
        """See ``StreamingModel``."""
        return self.last.weight, EPSILON

    @property
    def vocabulary(self) -> torch.Tensor:
        """See ``StreamingModel``."""
        return self.say.weight

    def encode_video(self, patches: torch.Tensor, grid: Grid,
                     operations: Operations | None = None) -> torch.Tensor:
        """See ``StreamingModel``."""
        return self.eye(patches.to(self.device, self.dtype), grid)

    def description(self) -> dict[str, Any]:
        """See ``StreamingModel``."""
        return {'model.layers': LAYERS, 'model.rotation': FREQUENCIES.tolist(),
                'vision.blocks': VISION_BLOCKS}


FREQUENCIES = 100.0 ** -(torch.arange(WIDTH // 2) / (WIDTH // 2))


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a folder's checked config.json."""
    return check_config(path, MODEL_TYPE, {})


def load(path: str | os.PathLike[str], **_: Any) -> LanternModel:
    """Load the model of a folder."""
    read_config(path)
    model = LanternModel()
    model.load_state_dict(load_file(pathlib.Path(path) / 'model.safetensors'))
    return model.eval()


def write(path: pathlib.Path, model: LanternModel) -> None:
    """Write what ``load`` reads."""
    from safetensors.torch import save_file

    (path / 'config.json').write_text(json.dumps({'model_type': MODEL_TYPE}))
    save_file({name: each.clone() for name, each in model.state_dict().items()},
              path / 'model.safetensors')


LANTERN = ModelFamily(
    model_type=MODEL_TYPE,
    name='Lantern',
    tokens=SpecialTokens(video='[dot]', vision_start='[see]', vision_end='[/see]',
                         turn_start='[turn]', turn_end='[/turn]'),
    pixels=ImageProcessorConfig(patch_size=8, temporal_patch_size=2, merge_size=2,
                                min_pixels=32 * 32, max_pixels=64 * 64,
                                mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)),
    read_config=read_config,
    load=load,
    patch_text=PatchText(of=lambda time_ns: f'<{time_ns / 1e9:.1f} s>', most_tokens=20))


@functools.cache
def random_model() -> LanternModel:
    """Return a random float32 model whose logits depend strongly on what it saw."""
    torch.manual_seed(0)
    model = LanternModel().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.2 * parameter[0].numel() ** -0.5)
            elif 'norm_' in name:
                parameter.uniform_(0.5, 1.5)
    return model
