# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions in passes of bounded length: exact, interruptible, and of no trace in the stream."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any, NoReturn

import numpy as np
import pytest
from support.models.random_models import (
    PIXELS,
    processor,
    random_clip,
    random_model,
    SHAPES,
    VOCABULARY,
)
from support.reference.memory import encode, SYSTEM
from support.reference.offline import reference_positions, stock_model
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.ops.likelihood import log_probabilities
from streamvlm_ros.engine.questions import branch as branches
from streamvlm_ros.engine.questions.branch import Branch, BranchPrompt, finish, PIECE
from streamvlm_ros.engine.questions.scoring import ChoicePrompt, score_pieces
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.chunks import EncodedChunk
from streamvlm_ros.engine.stream.frames import Frame

SECOND = 10**9
SEEN = 8
PAD, START, END = (encode(f'<|{name}|>') for name in ('video_pad', 'vision_start', 'vision_end'))
GRID = (2, 3)


@dataclasses.dataclass
class Case:
    """A stream of SEEN frames, frames that wait after it, and both written out for stock."""

    shape: str
    mode: str
    waiting: int = 0
    passed: float | None = None  # seconds since the first frame

    def __post_init__(self) -> None:
        self.clip = random_clip(3, SEEN + self.waiting, 56, 84)
        self.model = random_model(self.shape)
        self.engine = VideoStreamingInference(
            self.model, processor(), settings=StreamSettings(position_mode=self.mode)
        )
        for index, image in enumerate(self.clip[:SEEN]):
            self.engine.append_frame(image, index * SECOND // 2)
        self.stream = self.engine.stream
        self.chunk = self._encoded() if self.waiting else None
        self.branch = Branch(self.model, self.stream.cache, self.stream.state)

    @property
    def passed_ns(self) -> int | None:
        return None if self.passed is None else round(self.passed * SECOND)

    @property
    def enter(self) -> list[int]:
        """What leads from the last video token to a question."""
        return END if self.mode == 'continuous' else []

    def prompt(self, text: list[int]) -> BranchPrompt:
        return BranchPrompt(self.chunk, self.passed_ns, [*self.enter, *text])

    def choices(self, text: list[int], choices: list[list[int]]) -> ChoicePrompt:
        return ChoicePrompt(self.chunk, self.passed_ns, [*self.enter, *text], choices)

    def _encoded(self) -> EncodedChunk:
        frames = [
            Frame(image, index * SECOND // 2, index * SECOND // 2, '', index)
            for index, image in enumerate(self.clip[SEEN:], start=SEEN)
        ]
        layout = self.stream._layout(frames)
        return self.stream._chunks.encode(frames, layout, self.stream.place)

    def logits(self, text: list[int]) -> torch.Tensor:
        """Return stock's logits [len(text), vocabulary] of the whole history in one forward."""
        cuts = [self.clip[first : first + 4] for first in range(0, SEEN, 4)]
        if self.waiting:
            cuts.append(self.clip[SEEN:])
        patches, grids, videos, ids, number = [], [], [], encode(SYSTEM), 0
        for cut in cuts:
            made, grid = to_patches(cut, PIXELS, torch.device('cpu'))
            assert (grid.h, grid.w) == GRID
            patches.append(made)
            pads = PAD * math.prod(grid)
            seconds = [0.5 * (number + index) for index in range(0, len(cut), 2)]
            number += len(cut)
            if self.mode == 'append' or not videos:
                ids += [*START, *pads, *(END if self.mode == 'append' else [])]
                videos.append(((grid.t, *GRID), seconds))
                grids.append([grid.t, 4, 6])
            else:
                # One video segment, of which chunks are parts.
                ids += pads
                (t, *_), before = videos[-1]
                videos[-1] = (t + grid.t, *GRID), [*before, *seconds]
                grids[-1][0] += grid.t
        stock = stock_model(self.shape)
        rate = stock.config.vision_config.tokens_per_second
        shown = reference_positions(ids, videos, PAD[0], rate)
        last = int(shown.max())
        if self.passed is not None and self.mode == 'continuous':
            last = max(last, len(encode(SYSTEM)) + 1 + math.floor(self.passed * rate))
        behind = [*self.enter, *text]
        places = (last + 1 + torch.arange(len(behind))).expand(3, -1)
        with torch.no_grad():
            every = stock(
                input_ids=torch.tensor([[*ids, *behind]]),
                attention_mask=torch.ones(1, len(ids) + len(behind), dtype=torch.long),
                position_ids=torch.cat([shown, places], dim=1)[:, None],
                pixel_values_videos=torch.cat(patches),
                video_grid_thw=torch.tensor(grids),
                use_cache=False,
            ).logits[0]
        return every[-len(text) :]

    def score(self, text: list[int], choice: list[int]) -> float:
        """Return stock's log-probability of a choice after a prompt."""
        logits = self.logits([*text, *choice])[len(text) - 1 : -1].log_softmax(-1)
        return float(logits[range(len(choice)), choice].sum())


def words(seed: int, tokens: int) -> list[int]:
    """Return ids of random bytes."""
    return random.Random(seed).choices(range(256), k=tokens)


@pytest.mark.parametrize('mode', ['continuous', 'append'])
@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize(
    'waiting, passed, tokens, cuts',
    [
        (0, None, 30, [31]),
        (0, 7.3, 1200, [512, 512, 177]),
        (6, None, 700, [512, 207]),
        (176, 99.5, 600, [512, 512, 105]),
    ],
)
def test_a_question_in_pieces_equals_one_forward(
    shape: str,
    mode: str,
    waiting: int,
    passed: float | None,
    tokens: int,
    cuts: list[int],
    passes: list[int],
) -> None:
    """Frames that wait are cut like text, and time that passes after them moves the rest."""
    case = Case(shape, mode, waiting, passed)
    text = words(tokens, tokens)
    prompt = case.prompt(text)
    before = case.branch.state.length
    passes.clear()
    got = finish(case.branch.prefill_pieces(prompt))
    in_all = sum(passes)
    assert passes == [PIECE] * (in_all // PIECE) + [in_all % PIECE] * (in_all % PIECE > 0)
    assert in_all == len(prompt.ids) + (len(case.chunk.ids) if case.chunk else 0)
    if mode == 'continuous':
        assert passes == cuts
    assert case.branch.state.length == before + in_all == before + case.branch.context.tail.length
    assert (got - case.logits(text)[-1]).abs().max() < 1e-4
    case.branch.close()


@pytest.mark.parametrize('mode', ['continuous', 'append'])
@pytest.mark.parametrize('shape', SHAPES)
def test_scores_in_pieces_equal_one_forward_a_choice(
    shape: str, mode: str, passes: list[int]
) -> None:
    """Short prompts share passes; a long one, and a choice longer than a pass, have their own."""
    case = Case(shape, mode, 4, 9.1)
    plan = [
        (60, (3, 1, 20)),
        (400, (90, 5)),
        (30, (2, 2)),
        (600, (40, 3)),
        (500, (700, 300, 250)),
        (20, (1, 5, 9)),
    ]
    prompts = [
        (
            words(tokens, tokens),
            [words(index + tokens, size) for index, size in enumerate(choices)],
        )
        for tokens, choices in plan
    ]
    passes.clear()
    with torch.inference_mode():
        got = finish(score_pieces(case.branch, [case.choices(*each) for each in prompts]))
    assert max(passes) <= PIECE
    # Short ones, then each long one: its prompt, its choices together, what is left of them.
    assert len(passes) == 3 + (2 + 1) + (2 + 2 + 2)
    for scores, (text, choices) in zip(got, prompts, strict=True):
        expected = torch.tensor([case.score(text, choice) for choice in choices])
        assert torch.allclose(scores, expected, rtol=1e-5, atol=1e-4)
    assert case.branch.context.tail.length == 0
    case.branch.close()


@pytest.mark.parametrize('piece', [1, 7, 33])
@pytest.mark.parametrize('shape', SHAPES)
def test_however_it_is_cut(shape: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random prompts after a tail that is not empty give what they give in one pass each."""
    rng = random.Random(piece)
    prompts = [
        (
            words(seed, rng.randint(1, 40)),
            [words(seed + 50, rng.choice((1, 2, 9, 40))) for _ in range(rng.randint(2, 5))],
        )
        for seed in range(6)
    ]
    first = words(99, 40)

    def scores() -> list[torch.Tensor]:
        case = Case(shape, 'continuous', 6, 8.0)
        finish(case.branch.prefill_pieces(case.prompt(first)))
        state, length = case.branch.state, case.branch.context.tail.length
        said = finish(
            score_pieces(case.branch, [ChoicePrompt(None, None, *each) for each in prompts])
        )
        logits = finish(case.branch.prefill_pieces(BranchPrompt(None, None, first)))
        assert case.branch.context.tail.length == length + len(first)
        assert case.branch.state.length == state.length + len(first)
        case.branch.close()
        return [*said, logits]

    expected = scores()
    monkeypatch.setattr(branches, 'PIECE', piece)
    for one, other in zip(scores(), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', ['prefill', 'score'])
@pytest.mark.parametrize('how', ['closed', 'failed'])
def test_given_up_half_way(kind: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream has every byte that it had, and answers as one that was never asked."""
    case, twin = Case('grouped', 'continuous', 6), Case('grouped', 'continuous', 6)
    text = words(1, 1500)
    if kind == 'prefill':
        going = case.branch.prefill_pieces(case.prompt(text))
    else:
        going = score_pieces(case.branch, [case.choices(text, [words(2, 3), words(3, 900)])])
    before = case.branch.state
    next(going)
    next(going)
    assert case.branch.context.tail.length == 2 * PIECE
    if how == 'closed':
        going.close()
    else:
        monkeypatch.setattr(ModelRunner, 'prefill', _failing)
        with pytest.raises(RuntimeError, match='gone'):
            finish(going)
        monkeypatch.undo()
    assert case.branch.context.tree is None
    assert case.branch.state == before
    if kind == 'score':
        assert case.branch.context.tail.length == 0
    case.branch.close()
    twin.branch.close()
    assert not case.stream.cache.pinned
    assert case.engine.get_cache_info() == twin.engine.get_cache_info()
    for layer in range(SHAPES['grouped']['layers']):
        for mine, theirs in zip(
            case.stream.cache.content(layer), twin.stream.cache.content(layer)
        ):
            assert torch.equal(mine, theirs)
    assert case.engine.ask('And now?', 8)[0] == twin.engine.ask('And now?', 8)[0]


def _failing(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError('the device is gone')


def test_frames_that_come_between_two_pieces_are_not_seen() -> None:
    """What a question sees was fixed when it was opened, whatever its length."""
    case, still = Case('grouped', 'continuous'), Case('grouped', 'continuous')
    text = words(5, 1100)
    going = case.branch.prefill_pieces(case.prompt(text))
    for index, image in enumerate(random_clip(8, 8, 56, 84), start=SEEN):
        if index % 4 == 0 and index > SEEN:
            next(going)
        case.engine.append_frame(image, index * SECOND // 2)
    assert torch.equal(finish(going), finish(still.branch.prefill_pieces(still.prompt(text))))
    case.branch.close()
    still.branch.close()


def test_logits_of_few_rows_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand tokens are scored, and there is never room for the logits of more than 64."""
    rows: list[int] = []
    model = type(random_model('grouped'))
    logits = model.logits

    def spy(self: Any, hidden: Any) -> Any:
        rows.append(len(hidden))
        return logits(self, hidden)

    monkeypatch.setattr(model, 'logits', spy)
    case = Case('grouped', 'continuous')
    finish(score_pieces(case.branch, [case.choices(words(1, 20), [words(2, 700), words(3, 300)])]))
    case.branch.close()
    assert sum(rows) == 1000
    assert max(rows) == 64


def test_log_probabilities_are_those_of_all_rows_at_once() -> None:
    """Whatever the number of rows, and more than one after one hidden state."""
    torch.manual_seed(0)
    weight = torch.randn(VOCABULARY, 8)
    for rows in (1, 64, 65, 200):
        hidden, wanted = torch.randn(rows, 8), torch.randint(VOCABULARY, (rows,))
        got = log_probabilities(lambda each: each @ weight.T, hidden, wanted)
        expected = (hidden @ weight.T).log_softmax(-1)[range(rows), wanted]
        assert torch.allclose(got, expected, atol=1e-5)


def test_nothing_to_prefill() -> None:
    """An empty prompt is refused, with the branch as it was."""
    case = Case('grouped', 'append')
    with pytest.raises(ValueError, match='nothing to prefill'):
        finish(case.branch.prefill_pieces(BranchPrompt(None, None, [])))
    assert case.branch.state == case.stream.state
    case.branch.close()


def test_video_goes_with_its_tokens() -> None:
    """A cut has the embeddings of its own video tokens, and none where it has no such token."""
    case = Case('grouped', 'continuous', 12)
    run, _ = branches.Run.of(case.model.position_rule, case.branch.state, case.prompt(words(1, 9)))
    video = case.chunk.video
    for start, end in ((0, 5), (5, 20), (20, len(run)), (0, len(run))):
        cut = run.cut(start, end)
        assert torch.equal(cut.video, video[start : min(end, len(video))])
        assert int(cut.is_video.sum()) == len(cut.video)
        assert torch.equal(cut.positions, run.positions[:, start:end])
    assert run.cut(len(video), len(run)).video is None
    assert np.array_equal(run.ids[: len(video)], PAD * len(video))
    case.branch.close()
