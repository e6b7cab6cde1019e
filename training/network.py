# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stock model run on packed batches, with positions and masks of our own."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import torch
from torch.nn import functional
from transformers import (
    AutoConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.qwen2_5_vl import vision
from streamvlm_ros.engine.models.qwen2_5_vl.weights import VisionWeights
from streamvlm_ros.engine.models.qwen3_vl import vision as vision3
from streamvlm_ros.engine.positions import Grid
from training.batches import Batch
from training.layout import IGNORED
from training.targets import MARKS, MEMORY

# Stock's classes, by the model_type of config.json.
STOCK: dict[str, Any] = {
    'qwen2_5_vl': Qwen2_5_VLForConditionalGeneration,
    'qwen3_vl': Qwen3VLForConditionalGeneration,
}


def load_stock(folder: pathlib.Path) -> Any:
    """Return stock transformers' model of a folder, in float32."""
    kind = AutoConfig.from_pretrained(folder).model_type
    return STOCK[kind].from_pretrained(folder, dtype=torch.float32)


def see(model: Any, patches: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return tokens' embeddings, and what is added after each of the first decoder layers."""
    visual = model.model.visual
    if model.config.model_type == 'qwen2_5_vl':
        return vision.encode_video(VisionWeights.of(visual), patches, grid), []
    width = model.config.text_config.hidden_size
    video, *more = vision3.encode_video(visual, patches, grid).split(width, dim=1)
    return video, more


def patchify(frames: torch.Tensor, pixels: ImageProcessorConfig) -> torch.Tensor:
    """Return patches of uint8 frames [..., h, w, 3] (pairs in order), as the engine cuts them."""
    x = frames.flatten(0, -4).permute(0, 3, 1, 2).float()
    mean, std = (
        torch.tensor(v, device=x.device).view(3, 1, 1) * 255 for v in (pixels.mean, pixels.std)
    )
    x = (x - mean) / std
    count, _, height, width = x.shape
    merge, patch = pixels.merge_size, pixels.patch_size
    x = x.view(
        count // 2,
        2,
        3,
        height // pixels.factor,
        merge,
        patch,
        width // pixels.factor,
        merge,
        patch,
    )
    return x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(
        -1, 3 * pixels.temporal_patch_size * patch * patch
    )


def packed_mask(batch: Batch) -> torch.Tensor:
    """Return which tokens see which, bool [batch, 1, n, n]."""
    index = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    earlier = index[None, :, None] >= index[None, None, :]
    now = batch.when[:, :, None]
    trunk = (
        (batch.owner[:, None, :] == 0)
        & (batch.when[:, None, :] <= now)
        & (now < batch.gone[:, None, :])
    )
    same = (batch.owner[:, :, None] == batch.owner[:, None, :]) & (batch.owner[:, None, :] != 0)
    return ((trunk | same) & earlier)[:, None]


@dataclasses.dataclass
class Outputs:
    """What a pass over a batch gives: `hidden` and `middle` [batch, n, d], `video` [tokens, d]."""

    hidden: torch.Tensor
    middle: torch.Tensor
    video: torch.Tensor


def run_model(model: Any, batch: Batch, pixels: ImageProcessorConfig) -> Outputs:
    """Run a batch; `hidden` is after the last layer, `middle` after `middle_layer` layers."""
    text = model.model.language_model
    video, more = see(model, patchify(batch.frames, pixels), batch.grid)
    embeddings = text.embed_tokens(batch.ids)
    shown = is_video(model, batch)
    embeddings = embeddings.masked_scatter(shown[..., None], video.to(embeddings.dtype))
    mask = packed_mask(batch)
    own: dict[str, Any] = {'attention_mask': {'full_attention': mask}}
    if model.config.model_type == 'qwen3_vl':
        own = {
            'attention_mask': mask,
            'visual_pos_masks': shown,
            'deepstack_visual_embeds': more or None,
        }
    output = text(
        inputs_embeds=embeddings,
        position_ids=batch.positions,
        use_cache=False,
        output_hidden_states=True,
        **own,
    )
    return Outputs(output.last_hidden_state, output.hidden_states[middle_layer(model)], video)


def is_video(model: Any, batch: Batch) -> torch.Tensor:
    """Return which tokens are video tokens of the trunk, bool [batch, n]."""
    return (batch.ids == model.config.video_token_id) & (batch.owner == 0)


def middle_layer(model: Any) -> int:
    """Return the layer after which moments have to be remembered; the others are for questions."""
    return round(0.6 * model.config.text_config.num_hidden_layers)


def answer_logits(
    model: Any,
    hidden: torch.Tensor,
    batch: Batch,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits [n, vocabulary] for the n answer tokens, their labels, their places [n, 2]."""
    place = (batch.labels != IGNORED).nonzero()
    chosen = hidden[place[:, 0], place[:, 1] - 1]
    return model.lm_head(chosen).float(), batch.labels[place[:, 0], place[:, 1]], place


def is_first_token(batch: Batch) -> torch.Tensor:
    """Return which answer tokens are the first of theirs, bool [n] in `answer_logits`' order."""
    answer = batch.labels != IGNORED
    before = functional.pad(answer[:, :-1], (1, 0))
    return (answer & ~before)[answer]


def mark_loss(logits: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """Return the loss of a head that tells what each video token shows, [tokens, MARKS]."""
    # What is there is rare; weigh it up, else 'nothing' is learnt first and for long.
    weight = torch.full_like(logits[0], 4.0)
    return functional.binary_cross_entropy_with_logits(
        logits.float(), marks.float(), pos_weight=weight
    )


class Helpers(torch.nn.Module):
    """The thrown-away heads: what a token shows, what is to be remembered at its moment."""

    def __init__(self, width: int) -> None:
        """Make both heads for hidden states of `width`."""
        super().__init__()
        self.marks = torch.nn.Linear(width, MARKS)
        self.memory = torch.nn.Linear(width, MEMORY)

    def vision_loss(self, video: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the loss of what each video token [tokens, d] shows."""
        return mark_loss(self.marks(video), batch.marks.flatten(0, 2))

    def memory_loss(self, model: Any, middle: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the loss of what each video token's moment is to remember."""
        tokens = middle[is_video(model, batch)]
        # Every token of a temporal patch is to know all of the moment.
        each = batch.memory[:, :, None].expand(-1, -1, batch.grid.h * batch.grid.w, -1)
        return mark_loss(self.memory(tokens), each.reshape(len(tokens), -1))
