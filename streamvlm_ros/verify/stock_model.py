# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stock transformers' Qwen2.5-VL: one prompt run at once, in pieces, and decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import math
import pathlib
import resource
import time
from typing import Any

import torch
from transformers import (
    DynamicCache,
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    RepetitionPenaltyLogitsProcessor,
)

from streamvlm_ros.verify.awq import dequantized
from streamvlm_ros.verify.exchange import Asked
from streamvlm_ros.verify.positions import written_positions
from streamvlm_ros.verify.stock_inputs import Inputs, MERGE

BEST = 64  # most probable tokens that are told of each step


def load(asked: Asked) -> Qwen2_5_VLForConditionalGeneration:
    """Load the stock model; with a quantization its weights are rounded as the engine rounds."""
    how: dict[str, Any] = {
        'dtype': getattr(torch, asked.dtype),
        'device_map': None if asked.device == 'cpu' else asked.device,
        'attn_implementation': 'sdpa',
    }
    config = Qwen2_5_VLConfig.from_pretrained(asked.folder)
    if getattr(config, 'quantization_config', None) is None:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            asked.folder, use_safetensors=True, trust_remote_code=False, **how
        )
    else:
        # Stock cannot run them; it gets the values that they stand for.
        del config.quantization_config
        values = dequantized(pathlib.Path(asked.folder), how['dtype'])
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            None, config=config, state_dict=values, **{**how, 'device_map': None}
        )
        if asked.device != 'balanced':
            model = model.to(asked.device)
        with contextlib.suppress(OSError):
            model.generation_config = GenerationConfig.from_pretrained(asked.folder)
    if asked.quantization != 'none':
        _round(model, int(asked.quantization.removeprefix('int')))
    return model.eval()


@torch.no_grad()
def _round(model: Any, bits: int) -> None:
    from streamvlm_ros.engine.ops.quantization import quantize

    for layer in model.model.language_model.layers:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.copy_(quantize(module.weight.detach(), bits).dequantized())


@dataclasses.dataclass(frozen=True)
class Placed:
    """A prompt's inputs with the times of its videos' patches, in nanoseconds."""

    inputs: Inputs
    times_ns: list[list[int]]


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Some tokens of a prompt, and the patches of the video tokens among them."""

    start: int
    end: int
    patches: torch.Tensor | None = None
    grid: tuple[int, int, int] | None = None


class StockModel:
    """Runs prompts."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Take a model, and the tokenizer that knows what ends an answer."""
        self._model = model
        self._pad = model.config.video_token_id
        settings = model.generation_config
        stop = settings.eos_token_id
        self._stop = {tokenizer.convert_tokens_to_ids('<|im_end|>')}
        self._stop |= set(stop if isinstance(stop, list) else [] if stop is None else [stop])
        self.penalty = float(settings.repetition_penalty or 1.0)
        self.cache_bytes = 0
        self.weight_bytes = sum(each.nbytes for each in model.parameters())

    @property
    def vision_device(self) -> torch.device:
        """The device of the first weights."""
        return next(iter(self._model.parameters())).device

    @torch.inference_mode()
    def first_logits(self, placed: Placed) -> torch.Tensor:
        """Return the float32 logits of the answer's first token; the whole prompt is one pass."""
        return self._whole(placed)[0]

    @torch.inference_mode()
    def logits_in_pieces(self, placed: Placed, patches: int) -> torch.Tensor:
        """Return the same; prefilled by so many temporal patches of each video."""
        cache, logits = self._empty(), None
        for piece in self._pieces(placed, patches):
            logits = self._feed(placed, piece, cache)
        assert logits is not None
        return logits

    @torch.inference_mode()
    def answer(
        self, placed: Placed, most: int
    ) -> tuple[torch.Tensor, list[int], list[tuple[list[int], list[float]]]]:
        """Answer greedily, with the folder's repetition penalty.

        Returns:
            The first token's float32 logits, the tokens, and for each of them the ids and scores
            of the `BEST` most probable ones.

        """
        first, cache, last = self._whole(placed)
        ids, tokens, best = list(placed.inputs.ids), [], []
        penalty = RepetitionPenaltyLogitsProcessor(self.penalty) if self.penalty != 1.0 else None
        logits = first
        while True:
            scores = logits
            if penalty is not None:
                scores = penalty(torch.tensor([ids], device=logits.device), logits[None])[0]
            values, order = scores.topk(min(BEST, len(scores)))
            best.append((order.tolist(), values.tolist()))
            token = best[-1][0][0]
            tokens.append(token)
            ids.append(token)
            if token in self._stop or len(tokens) == most:
                return first, tokens, best
            last += 1
            logits = self._step(token, last, cache)

    @torch.inference_mode()
    def choose(self, placed: Placed, choices: Sequence[Sequence[int]]) -> list[float]:
        """Return the probability of each choice, all together 1: of its ids after the prompt."""
        first, cache, last = self._whole(placed)
        length = cache.get_seq_length()
        totals = []
        for choice in choices:
            logits = [first]
            for number, token in enumerate(choice[:-1], start=1):
                logits.append(self._step(token, last + number, cache))
            added = cache.get_seq_length() - length
            if added:
                cache.crop(-added)
            totals.append(sum(float(each.log_softmax(-1)[t]) for each, t in zip(logits, choice)))
        return torch.tensor(totals, dtype=torch.float64).softmax(-1).tolist()

    @torch.inference_mode()
    def times(self, placed: Placed, patches: int, steps: int) -> tuple[float, float, float]:
        """Stream a prompt into a cache by so many patches, and decode so many steps.

        Returns:
            Milliseconds of the median chunk, of the question to its first token, and of the
            median step.

        """
        cache, chunks, steps_ms = self._empty(), [], []
        question = 0.0
        for piece in self._pieces(placed, patches):
            began = self._clock()
            logits = self._feed(placed, piece, cache)
            token = int(logits.argmax())
            spent = self._clock() - began
            if piece.grid is not None:
                chunks.append(spent)
            else:
                question = spent
        last = max(map(max, self._positions(placed)))
        for number in range(1, steps + 1):
            began = self._clock()
            token = int(self._step(token, last + number, cache).argmax())
            steps_ms.append(self._clock() - began)
        return 1e3 * _median(chunks), 1e3 * question, 1e3 * _median(steps_ms)

    def widen(self) -> bool:
        """Turn the model to float32 in its place, if there is room; return whether it is."""
        if self.vision_device.type == 'cuda':
            torch.cuda.empty_cache()
            gpus = {each.device for each in self._model.parameters()}
            free = sum(torch.cuda.mem_get_info(gpu)[0] for gpu in gpus)
        else:
            with open('/proc/meminfo', encoding='ascii') as lines:
                free = next(int(line.split()[1]) * 1024 for line in lines if 'Available' in line)
        if free < 1.5 * 2 * self.weight_bytes:
            return False
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        for each in (*self._model.parameters(), *self._model.buffers()):
            if each.is_floating_point():
                each.data = each.data.float()
        return True

    def peak(self) -> int:
        """Return the most bytes that were held at once."""
        if self.vision_device.type == 'cuda':
            return sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def _clock(self) -> float:
        if self.vision_device.type == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter()

    def _empty(self) -> Any:
        return DynamicCache(config=self._model.config.get_text_config())

    def _positions(self, placed: Placed) -> list[list[int]]:
        videos = [
            ((t, h // MERGE, w // MERGE), times)
            for (t, h, w), times in zip(placed.inputs.grids, placed.times_ns)
        ]
        rate = self._model.config.vision_config.tokens_per_second
        return written_positions(placed.inputs.ids, videos, self._pad, rate)

    def _whole(self, placed: Placed) -> tuple[torch.Tensor, Any, int]:
        """Prefill a prompt; return the last token's logits, the cache, and the last position."""
        inputs, positions, cache = placed.inputs, self._positions(placed), self._empty()
        logits = self._run(
            inputs.ids, positions, cache, torch.cat(inputs.patches), list(inputs.grids)
        )
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        self.cache_bytes = max(self.cache_bytes, held)
        return logits, cache, max(map(max, positions))

    def _pieces(self, placed: Placed, patches: int) -> Iterator[_Piece]:
        """Cut a prompt after so many temporal patches of each video; text goes with what follows.

        The text before a chunk is a part of its piece, and that after the last one a piece.
        """
        ids, start, at = placed.inputs.ids, 0, 0
        for whole, (t, h, w) in zip(placed.inputs.patches, placed.inputs.grids):
            at = ids.index(self._pad, at)
            for first in range(0, t, patches):
                count = min(patches, t - first)
                at += count * h * w // MERGE**2
                cut = whole[first * h * w : (first + count) * h * w]
                yield _Piece(start, at, cut, (count, h, w))
                start = at
        yield _Piece(start, len(ids))

    def _feed(self, placed: Placed, piece: _Piece, cache: Any) -> torch.Tensor:
        positions = [axis[piece.start : piece.end] for axis in self._positions(placed)]
        ids = placed.inputs.ids[piece.start : piece.end]
        grids = [] if piece.grid is None else [piece.grid]
        return self._run(ids, positions, cache, piece.patches, grids)

    def _step(self, token: int, position: int, cache: Any) -> torch.Tensor:
        return self._run([token], [[position]] * 3, cache, None, [])

    def _run(
        self,
        ids: Sequence[int],
        positions: Sequence[Sequence[int]],
        cache: Any,
        patches: torch.Tensor | None,
        grids: Sequence[tuple[int, int, int]],
    ) -> torch.Tensor:
        device = self.vision_device
        video: dict[str, Any] = {}
        if patches is not None:
            # The model converts patches to its number format itself.
            video = {
                'pixel_values_videos': patches.to(device),
                'video_grid_thw': torch.tensor(grids, device=device),
            }
            assert sum(math.prod(grid) for grid in grids) == len(patches)
        output = self._model(
            input_ids=torch.tensor([list(ids)], device=device),
            position_ids=torch.tensor(positions, device=device)[:, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **video,
        )
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
