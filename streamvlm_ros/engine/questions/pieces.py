# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What questions bring to a branch, cut into passes that are bounded whatever their length.

Choices stand side by side after their prompt and do not see each other: they are the leaves of a
tree, and the prompt is its root.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
import dataclasses
from typing import TypeVar

import torch

from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.ops.attention import Tree
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.stream.chunks import EncodedChunk

# Tokens of a pass.
PIECE = 512

R = TypeVar('R')
# A choice by its number, a token of a run, and the choice's token that is scored after it.
Score = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class BranchPrompt:
    """What is prefilled on a branch.

    Attributes:
        chunk: the frames that wait for their chunk, which come first; None: there are none.
        passed_ns: time that passes after them without a token, as ``PositionRule.pass_time``
            has it; None: no time does.
        ids: of the text after that, down to where the answer begins.

    """

    chunk: EncodedChunk | None
    passed_ns: int | None
    ids: Sequence[int]


@dataclasses.dataclass(frozen=True)
class ChoicePrompt(BranchPrompt):
    """A choice question.

    Attributes:
        choices: ids of every choice, at least one each.

    """

    choices: Sequence[Sequence[int]]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Tokens that have their places.

    Attributes:
        ids: of the tokens.
        positions: int64 [3, n].
        is_video: bool [n], which of them are video tokens.
        video: embeddings of these [v, hidden_size]; None where there are none.

    """

    ids: list[int]
    positions: torch.Tensor
    is_video: torch.Tensor
    video: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        rule: PositionRule,
        state: StreamState,
        prompt: BranchPrompt,
    ) -> tuple[Run, StreamState]:
        """Place a prompt after a state; return it, and the state after it."""
        ids, placed = list(prompt.ids), []
        if prompt.chunk is not None:
            positions, state = rule.place(state, prompt.chunk.ids, [prompt.chunk.part])
            ids = [*prompt.chunk.ids, *ids]
            placed.append(positions)
        if prompt.passed_ns is not None:
            state = rule.pass_time(state, prompt.passed_ns)
        positions, state = rule.place(state, prompt.ids)
        run = cls(
            ids,
            torch.cat([*placed, positions], dim=1),
            rule.is_video(ids),
            prompt.chunk.video if prompt.chunk is not None else None,
        )
        return run, state

    @classmethod
    def text(cls, ids: Sequence[int], first: int) -> Run:
        """Place text tokens from a position on."""
        places = torch.arange(first, first + len(ids)).expand(3, -1)
        return cls(list(ids), places, torch.zeros(len(ids), dtype=torch.bool))

    @classmethod
    def joined(cls, runs: Sequence[Run]) -> Run:
        """Return runs one after the other, where they are."""
        video = [run.video for run in runs if run.video is not None]
        return cls(
            [token for run in runs for token in run.ids],
            torch.cat([run.positions for run in runs], dim=1),
            torch.cat([run.is_video for run in runs]),
            torch.cat(video) if video else None,
        )

    def __len__(self) -> int:
        """Return how many tokens there are."""
        return len(self.ids)

    def cut(self, start: int, end: int) -> Run:
        """Return the tokens from ``start`` to before ``end``."""
        first, last = int(self.is_video[:start].sum()), int(self.is_video[:end].sum())
        video = self.video[first:last] if self.video is not None and first < last else None
        return Run(
            self.ids[start:end], self.positions[:, start:end], self.is_video[start:end], video
        )

    def pieces(self) -> Iterator[tuple[int, Run]]:
        """Yield runs of at most PIECE tokens, and where each begins."""
        for start in range(0, len(self), PIECE):
            yield start, self.cut(start, min(start + PIECE, len(self)))


@dataclasses.dataclass(frozen=True, eq=False)
class ScoringPass:
    """Tokens of one pass of scoring.

    Attributes:
        run: the tokens.
        tree: who sees whom among them; None: causal.
        scores: what is scored in it.
        tail: the length of the branch's tail that they stand after.

    """

    run: Run
    tree: Tree | None
    scores: list[Score]
    tail: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """A root, or a leaf, and what is scored in it."""

    run: Run
    scores: list[Score]


def scoring_passes(
    rule: PositionRule, state: StreamState, prompts: Sequence[ChoicePrompt], tail: int
) -> list[ScoringPass]:
    """Return the passes that score choice questions, each alone after a state.

    Every prompt begins at the same position, and so do all choices of one prompt.  Prompts that
    are short with all their choices share passes.  A long one goes into the tail, and its choices
    come after it.

    Args:
        rule: says where tokens stand.
        state: what the prompts stand after.
        prompts: the questions; their choices are numbered through.
        tail: how long the branch's tail is, of which all prompts see everything.

    """
    together: list[list[_Part]] = []
    passes: list[ScoringPass] = []
    number = 0
    for prompt in prompts:
        root, leaves = _tree(rule, state, prompt, number)
        number += len(prompt.choices)
        if len(root.run) + sum(len(leaf.run) for leaf in leaves) <= PIECE:
            together.append([root, *leaves])
            continue
        passes += _in_pieces(root, tail)
        behind = tail + len(root.run)
        passes += _packed([[leaf] for leaf in leaves if len(leaf.run) <= PIECE], behind)
        for leaf in leaves:
            if len(leaf.run) > PIECE:
                passes += _in_pieces(leaf, behind)
    return [*_packed(together, tail), *passes]


def _tree(
    rule: PositionRule,
    state: StreamState,
    prompt: ChoicePrompt,
    number: int,
) -> tuple[_Part, list[_Part]]:
    """Return a prompt, and the choices after it that have tokens to feed."""
    run, behind = Run.of(rule, state, prompt)
    root = _Part(
        run,
        [
            (index, len(run) - 1, choice[0])
            for index, choice in enumerate(prompt.choices, start=number)
        ],
    )
    first = behind.last_cache_position + 1
    # A choice's last token is scored, never fed.
    leaves = [
        _Part(
            Run.text(choice[:-1], first),
            [(index, row, token) for row, token in enumerate(choice[1:])],
        )
        for index, choice in enumerate(prompt.choices, start=number)
        if len(choice) > 1
    ]
    return root, leaves


def _in_pieces(part: _Part, tail: int) -> Iterator[ScoringPass]:
    """Yield the passes of a long run, each after the one before."""
    for start, run in part.run.pieces():
        scores = [
            (index, row - start, token)
            for index, row, token in part.scores
            if start <= row < start + len(run)
        ]
        yield ScoringPass(run, None, scores, tail + start)


def _packed(trees: Sequence[Sequence[_Part]], tail: int) -> Iterator[ScoringPass]:
    """Yield as few passes of at most PIECE tokens as trees in their order give."""
    waiting: list[Sequence[_Part]] = []
    tokens = 0
    for tree in trees:
        size = sum(len(part.run) for part in tree)
        if waiting and tokens + size > PIECE:
            yield _together(waiting, tail)
            waiting, tokens = [], 0
        waiting.append(tree)
        tokens += size
    if waiting:
        yield _together(waiting, tail)


def _together(trees: Sequence[Sequence[_Part]], tail: int) -> ScoringPass:
    """Return the pass of trees, of which each has its first part before all others."""
    runs: list[Run] = []
    behind: list[tuple[int, tuple[int, int]]] = []
    scores: list[Score] = []
    at = 0
    for root, *leaves in trees:
        first = at, at + len(root.run)
        for part in (root, *leaves):
            runs.append(part.run)
            behind.append((len(part.run), (0, 0) if part is root else first))
            scores += [(index, at + row, token) for index, row, token in part.scores]
            at += len(part.run)
    return ScoringPass(Run.joined(runs), Tree.of(behind) if len(runs) > 1 else None, scores, tail)


def finish(pieces: Generator[None, None, R]) -> R:
    """Run all passes of a generator that yields between two, and return what it returns."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: R = end.value
            return result
