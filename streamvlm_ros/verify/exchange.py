# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the two processes tell each other, as files in a folder: no tensor goes through a pipe."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any, Literal

import numpy as np

from streamvlm_ros.verify.clips import Clip

ASKED, SAID, FAULT, ARRAYS, CLIPS = (
    'asked.json',
    'said.json',
    'fault.txt',
    'arrays.npz',
    'clip{}.npy',
)


@dataclasses.dataclass(frozen=True)
class Shown:
    """One prompt: a clip as one video, or as a video for each chunk.

    Attributes:
        clip: its number.
        mode: 'continuous' or 'append'.
        chunk: frames of a chunk; of 'continuous', those that the prompt is prefilled by when it
            is prefilled in pieces, which must not matter.

    """

    clip: int
    mode: Literal['continuous', 'append']
    chunk: int

    def videos(self, frames: int) -> list[range]:
        """Return which of so many frames each video of the prompt has."""
        step = frames if self.mode == 'continuous' else self.chunk
        return [range(i, min(i + step, frames)) for i in range(0, frames, step)]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What both sides do.

    Attributes:
        folder: of the model.
        device, dtype: where and in which number format.
        quantization: 'none', 'int8' or 'int4'.
        model_type: as config.json has it.
        timed: the family writes the time before every temporal patch, each of which is a vision
            segment of its own.
        patch: side of a patch in pixels.
        min_pixels, max_pixels, mean, std: the model's preprocessing as the engine reads it, for
            where stock's own cannot be imported.
        clips: names and stamps.
        shown: the prompts of stock.
        question: asked about every clip.
        choice_text: a choice question, with its choices.
        choices: its choices.
        tokens: of an answer, at most.

    """

    folder: str
    device: str
    dtype: str
    quantization: str
    model_type: str
    timed: bool
    patch: int
    min_pixels: int
    max_pixels: int
    mean: list[float]
    std: list[float]
    clips: list[tuple[str, list[int]]]
    shown: list[Shown]
    question: str
    choice_text: str
    choices: list[str]
    tokens: int

    def write(self, folder: pathlib.Path, clips: list[Clip]) -> None:
        """Write it and the clips' frames."""
        (folder / ASKED).write_text(json.dumps(dataclasses.asdict(self)))
        for number, clip in enumerate(clips):
            np.save(folder / CLIPS.format(number), np.stack(clip.frames))

    @classmethod
    def read(cls, folder: pathlib.Path) -> tuple[Asked, list[Clip]]:
        """Read what `write` has written."""
        values = json.loads((folder / ASKED).read_text())
        values['shown'] = [Shown(**each) for each in values['shown']]
        asked = cls(**values)
        frames = [np.load(folder / CLIPS.format(i)) for i in range(len(asked.clips))]
        clips = [Clip(name, list(f), stamps) for (name, stamps), f in zip(asked.clips, frames)]
        return asked, clips


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a side says to one prompt.

    Attributes:
        prompt_tokens: of the free question.
        tokens: of its answer.
        logits: float32 [vocabulary], from which the first one is taken.
        choices: probability of each choice, all together 1.

    """

    prompt_tokens: int
    tokens: list[int]
    logits: np.ndarray
    choices: list[float]


@dataclasses.dataclass(frozen=True)
class StockReply(Reply):
    """What stock says to one prompt.

    Attributes:
        best: for each token of the answer, the ids and scores of the most probable ones.
        pieces: the same logits, prefilled chunk by chunk.
        exact: the same logits in float32; None: stock is in float32 already, or there is no room.

    """

    best: list[tuple[list[int], list[float]]]
    pieces: np.ndarray
    exact: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a side takes: bytes, and milliseconds of a chunk, a first token and a next token.

    `peak` is that of the GPUs' memory, without a GPU of the process; `token_ms` is None if all
    answers have one token.
    """

    weights: int
    cache: int
    peak: int
    chunk_ms: float
    first_token_ms: float
    token_ms: float | None


@dataclasses.dataclass(frozen=True)
class StockSaid:
    """All that the stock process says.

    Attributes:
        processor: 'stock' or 'written out', where torchvision is not there.
        why: why it is not stock's.
        versions: of transformers and PyTorch.
        penalty: the folder's repetition penalty, which is applied.
        replies: to each prompt.
        patches: of each clip, [rows, values]: those of the first temporal patches.
        grids: of each clip: temporal patches, rows and columns of patches.
        cost: what it takes.

    """

    processor: str
    why: str
    versions: str
    penalty: float
    replies: list[StockReply]
    patches: list[np.ndarray]
    grids: list[tuple[int, int, int]]
    cost: Cost

    def write(self, folder: pathlib.Path) -> None:
        """Write it; the file that `read` begins with comes last."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ('replies', 'patches', 'cost')
        }
        arrays: dict[str, Any] = {f'patches{i}': each for i, each in enumerate(self.patches)}
        rows = []
        for number, reply in enumerate(self.replies):
            row = {field.name: getattr(reply, field.name) for field in dataclasses.fields(reply)}
            for name in ('logits', 'pieces', 'exact'):
                found = row.pop(name)
                if found is not None:
                    arrays[f'{name}{number}'] = found
            rows.append(row)
        np.savez(folder / ARRAYS, **arrays)
        values.update(replies=rows, cost=dataclasses.asdict(self.cost))
        (folder / SAID).write_text(json.dumps(values))

    @classmethod
    def read(cls, folder: pathlib.Path) -> StockSaid:
        """Read what `write` has written."""
        values = json.loads((folder / SAID).read_text())
        with np.load(folder / ARRAYS) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        values['replies'] = [
            StockReply(
                **row,
                logits=found[f'logits{number}'],
                pieces=found[f'pieces{number}'],
                exact=found.get(f'exact{number}'),
            )
            for number, row in enumerate(values['replies'])
        ]
        values['patches'] = [found[f'patches{i}'] for i in range(len(values['grids']))]
        values['grids'] = [tuple(each) for each in values['grids']]
        values['cost'] = Cost(**values['cost'])
        return cls(**values)
