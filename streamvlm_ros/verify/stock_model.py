# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stock transformers' model: one prompt run at once, in pieces, and decoded."""

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
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    RepetitionPenaltyLogitsProcessor,
)

from streamvlm_ros.verify.awq import dequantized
from streamvlm_ros.verify.exchange import Asked
from streamvlm_ros.verify.positions import written_positions
from streamvlm_ros.verify.stock_inputs import Inputs, MERGE

# Stock's classes of each model_type.
CLASSES: dict[str, tuple[Any, Any]] = {
    'qwen2_5_vl': (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    'qwen3_vl': (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
}
BEST = 64  # most probable tokens that are told of each step


def load(asked: Asked) -> Any:
    """Load the stock model; with a quantization its weights are rounded as the engine rounds."""
    how: dict[str, Any] = {
        'dtype': getattr(torch, asked.dtype),
        'device_map': None if asked.device == 'cpu' else asked.device,
        'attn_implementation': 'sdpa',
    }
    config_class, model_class = CLASSES[asked.model_type]
    config = config_class.from_pretrained(asked.folder)
    if getattr(config, 'quantization_config', None) is None:
        model = model_class.from_pretrained(
            asked.folder, use_safetensors=True, trust_remote_code=False, **how
        )
    else:
        # Stock cannot run them; it gets the values that they stand for.
        del config.quantization_config
        values = dequantized(pathlib.Path(asked.folder), how['dtype'])
        model = model_class.from_pretrained(
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
class _Piece:
    """Some tokens of a prompt, and the patches of the video tokens among them."""

    start: int
    end: int
    patches: torch.Tensor | None = None
    grids: Sequence[tuple[int, int, int]] = ()


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
    def first_logits(self, inputs: Inputs) -> torch.Tensor:
        """Return the float32 logits of the answer's first token; the whole prompt is one pass."""
        return self._whole(inputs)[0]

    @torch.inference_mode()
    def logits_in_pieces(self, inputs: Inputs, patches: int) -> torch.Tensor:
        """Return the same; prefilled by so many temporal patches of each video."""
        cache, logits = self._empty(), None
        for piece in self._pieces(inputs, patches):
            logits = self._feed(inputs, piece, cache)
        assert logits is not None
        return logits

    @torch.inference_mode()
    def answer(
        self, inputs: Inputs, most: int
    ) -> tuple[torch.Tensor, list[int], list[tuple[list[int], list[float]]]]:
        """Answer greedily, with the folder's repetition penalty.

        Returns:
            The first token's float32 logits, the tokens, and for each of them the ids and scores
            of the `BEST` most probable ones.

        """
        first, cache, last = self._whole(inputs)
        ids, tokens, best = list(inputs.ids), [], []
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
    def choose(self, inputs: Inputs, choices: Sequence[Sequence[int]]) -> list[float]:
        """Return the probability of each choice, all together 1: of its ids after the prompt."""
        first, cache, last = self._whole(inputs)
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
    def times(self, inputs: Inputs, patches: int, steps: int) -> tuple[float, float, float]:
        """Stream a prompt into a cache by so many patches, and decode so many steps.

        Returns:
            Milliseconds of the median chunk, of the question to its first token, and of the
            median step.

        """
        cache, chunks, steps_ms = self._empty(), [], []
        question = 0.0
        for piece in self._pieces(inputs, patches):
            began = self._clock()
            logits = self._feed(inputs, piece, cache)
            token = int(logits.argmax())
            spent = self._clock() - began
            if piece.grids:
                chunks.append(spent)
            else:
                question = spent
        last = max(map(max, self._positions(inputs)))
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

    def _positions(self, inputs: Inputs) -> list[list[int]]:
        videos = [
            ((t, h // MERGE, w // MERGE), times)
            for (t, h, w), times in zip(inputs.grids, inputs.times_ns)
        ]
        # A family that writes times has none: T stands still inside a temporal patch.
        rate = getattr(self._model.config.vision_config, 'tokens_per_second', 0.0)
        return written_positions(inputs.ids, videos, self._pad, rate)

    def _whole(self, inputs: Inputs) -> tuple[torch.Tensor, Any, int]:
        """Prefill a prompt; return the last token's logits, the cache, and the last position."""
        positions, cache = self._positions(inputs), self._empty()
        logits = self._run(
            inputs.ids, positions, cache, torch.cat(inputs.patches), list(inputs.grids)
        )
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        self.cache_bytes = max(self.cache_bytes, held)
        return logits, cache, max(map(max, positions))

    def _pieces(self, inputs: Inputs, patches: int) -> Iterator[_Piece]:
        """Cut a prompt after so many temporal patches of each video; text goes with what follows.

        The text before a chunk is a part of its piece, and that after the last one a piece.  Where
        every temporal patch is a video, so many of them are a piece.
        """
        ids, start, at = inputs.ids, 0, 0
        cuts: list[torch.Tensor] = []
        grids: list[tuple[int, int, int]] = []
        single = all(t == 1 for t, _, _ in inputs.grids)
        for number, (whole, (t, h, w)) in enumerate(zip(inputs.patches, inputs.grids), start=1):
            at = ids.index(self._pad, at)
            for first in range(0, t, patches):
                count = min(patches, t - first)
                at += count * h * w // MERGE**2
                cuts.append(whole[first * h * w : (first + count) * h * w])
                grids.append((count, h, w))
                if single and len(grids) < patches and number < len(inputs.grids):
                    continue
                yield _Piece(start, at, torch.cat(cuts), grids)
                start, cuts, grids = at, [], []
        yield _Piece(start, len(ids))

    def _feed(self, inputs: Inputs, piece: _Piece, cache: Any) -> torch.Tensor:
        positions = [axis[piece.start : piece.end] for axis in self._positions(inputs)]
        ids = inputs.ids[piece.start : piece.end]
        return self._run(ids, positions, cache, piece.patches, piece.grids)

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
