# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stock process: a program of its own, which imports nothing of the engine's.

    python -m streamvlm_ros.verify.stock FOLDER

It reads what is asked from the folder, and writes what stock transformers says into it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
import signal
import sys
from typing import TYPE_CHECKING

from streamvlm_ros import interrupts

if TYPE_CHECKING:
    from streamvlm_ros.verify.clips import Clip
    from streamvlm_ros.verify.exchange import Asked, Shown
    from streamvlm_ros.verify.stock_inputs import Inputs, Inputter

TEMPORAL = 2  # frames of a temporal patch
MOST_TOLD = 1 << 26  # bytes of a clip's patches that are told; but one temporal patch at least
STEPS, REPEATS = 8, 3  # decode steps that are timed, and how often all is


def main(folder: pathlib.Path) -> int:
    """Run what is asked; return 0, or 1 after a sentence in the file of faults."""
    # transformers imports torchao, which warns of what a user can do nothing about.
    for name in ('torchao', 'torch.utils._pytree'):
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    from streamvlm_ros.verify.exchange import Asked, FAULT

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    asked, clips = Asked.read(folder)
    try:
        _run(asked, clips, folder)
    except Exception as error:  # of transformers: the other process tells it
        (folder / FAULT).write_text(f'{type(error).__name__}: {error!s:.600}')
        return 1
    return 0


def _run(asked: Asked, clips: list[Clip], folder: pathlib.Path) -> None:
    import torch
    import transformers

    from streamvlm_ros.verify.exchange import Cost, StockReply, StockSaid
    from streamvlm_ros.verify.stock_inputs import inputter, Video
    from streamvlm_ros.verify.stock_model import load, StockModel

    make = inputter(asked)
    _say(f'loading {asked.folder} as {asked.dtype} on {asked.device}')
    model = StockModel(load(asked), make.tokenizer)
    ends = make.tokenizer.convert_tokens_to_ids('<|im_end|>')
    choices = [
        [*make.tokenizer.encode(each, add_special_tokens=False), ends] for each in asked.choices
    ]
    replies, asked_of, grids, patches = [], [], [], []
    for number, shown in enumerate(asked.shown, start=1):
        clip = clips[shown.clip]
        _say(f'prompt {number} of {len(asked.shown)}: {clip.name}, {shown.mode}')
        free = _inputs(make, clip, shown, asked.question)
        logits, tokens, best = model.answer(free, asked.tokens)
        chosen = model.choose(_inputs(make, clip, shown, asked.choice_text), choices)
        pieces = model.logits_in_pieces(free, max(1, shown.chunk // TEMPORAL))
        replies.append(
            StockReply(
                len(free.ids),
                tokens,
                logits.cpu().numpy(),
                chosen,
                best,
                pieces.cpu().numpy(),
                None,
            )
        )
        asked_of.append(free)
    for clip in clips:
        whole = make.make([Video(clip.frames, clip.stamps_ns)], asked.question)
        grid = whole.grids[0]
        grids.append(grid)
        rows = grid[1] * grid[2]
        most = max(1, MOST_TOLD // whole.patches[0][:rows].nbytes)
        patches.append(torch.cat(whole.patches)[: most * rows].numpy())
    _say('timing')
    chunk = max(1, asked.shown[0].chunk // TEMPORAL)
    times = [model.times(asked_of[0], chunk, STEPS) for _ in range(REPEATS)][-1]
    cost = Cost(model.weight_bytes, model.cache_bytes, model.peak(), *times)
    if asked.dtype != 'float32' and model.widen():
        _say('the same in float32, to see how stock itself is rounded')
        replies = [
            dataclasses.replace(reply, exact=model.first_logits(each).cpu().numpy())
            for reply, each in zip(replies, asked_of)
        ]
    versions = f'transformers {transformers.__version__}, PyTorch {torch.__version__}'
    StockSaid(make.name, make.why, versions, model.penalty, replies, patches, grids, cost).write(
        folder
    )


def _inputs(make: Inputter, clip: Clip, shown: Shown, text: str) -> Inputs:
    from streamvlm_ros.verify.stock_inputs import Video

    videos = [
        Video([clip.frames[i] for i in video], [clip.stamps_ns[i] for i in video])
        for video in shown.videos(len(clip.frames))
    ]
    return make.make(videos, text)


def _say(text: str) -> None:
    print(f'stock: {text}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    # A signal ends it at once, also in the midst of a long computation, and so does the end of
    # the process that has started it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    interrupts.end_with_parent()
    if os.getppid() != int(os.environ[interrupts.PARENT]):
        sys.exit(1)
    sys.exit(main(pathlib.Path(sys.argv[1])))
