# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Choice questions: the log-probability of every choice, in passes that are bounded.

All choices follow their prompt directly and do not see each other: they are the leaves of a tree,
and the prompt is its root.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
import dataclasses

import torch

from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.ops.attention import Tree
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.questions import branch as branches
from streamvlm_ros.engine.questions.branch import Branch, BranchPrompt, Run

# A choice by its number, a token of a run, and the choice's token that is scored after it.
Score = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class ChoicePrompt(BranchPrompt):
    """A choice question.

    Attributes:
        choices: ids of every choice, at least one each.

    """

    choices: Sequence[Sequence[int]]


@dataclasses.dataclass(frozen=True, eq=False)
class ScoringPass:
    """Tokens of one pass of scoring.

    Attributes:
        run: the tokens.
        tree: which of them each one sees; None: causal.
        scores: what is scored in it.
        tail: the length of the branch's tail that they stand after.

    """

    run: Run
    tree: Tree | None
    scores: list[Score]
    tail: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """A prompt or a choice in the tree, and what is scored in it."""

    run: Run
    scores: list[Score]


@torch.inference_mode()
def score_pieces(
    branch: Branch,
    prompts: Sequence[ChoicePrompt],
) -> Generator[None, None, list[torch.Tensor]]:
    """Score choice questions on a branch, in passes of at most ``PIECE`` tokens.

    Each one is scored as if it were alone after the branch's tail, which is left as it was.
    The generator yields between two passes and may be closed there.

    Returns:
        For each prompt, float32 [choices]: log-probability of every choice after it.

    """
    tail = branch.context.tail
    length = tail.length
    passes = scoring_passes(branch.rule, branch.state, prompts, length)
    scored = []
    try:
        for index, each in enumerate(passes):
            if index:
                yield
            tail.truncate(each.tail)
            scored.append(_score(branch, each))
    finally:
        tail.truncate(length)
    choices = [choice for each in passes for choice, _, _ in each.scores]
    # A choice's scores in the order of its tokens.
    order = torch.tensor(choices).argsort(stable=True)
    tokens = [len(choice) for prompt in prompts for choice in prompt.choices]
    every = torch.cat([scores for scores in scored if scores is not None])
    sums = torch.stack([part.sum() for part in every[order.to(every.device)].split(tokens)])
    return list(sums.split([len(prompt.choices) for prompt in prompts]))


def _score(branch: Branch, each: ScoringPass) -> torch.Tensor | None:
    """Run a pass of scoring; return float32 [scores], or None if the pass scores nothing."""
    branch.context.tree = each.tree
    try:
        return branch.runner.prefill(
            each.run.ids,
            each.run.positions,
            branch.context,
            each.run.video,
            [row for _, row, _ in each.scores],
            [token for _, _, token in each.scores],
        )
    finally:
        branch.context.tree = None


def scoring_passes(
    rule: PositionRule, state: StreamState, prompts: Sequence[ChoicePrompt], tail: int
) -> list[ScoringPass]:
    """Return the passes that score choice questions, each alone after a state.

    All prompts begin at the same position, and so do all choices of one prompt.  Prompts that are
    short together with their choices share passes.  A long prompt goes into the tail, and its
    choices come after it.

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
        if len(root.run) + sum(len(leaf.run) for leaf in leaves) <= branches.PIECE:
            together.append([root, *leaves])
            continue
        passes += _in_pieces(root, tail)
        after = tail + len(root.run)
        passes += _packed([[leaf] for leaf in leaves if len(leaf.run) <= branches.PIECE], after)
        for leaf in leaves:
            if len(leaf.run) > branches.PIECE:
                passes += _in_pieces(leaf, after)
    return [*_packed(together, tail), *passes]


def _tree(
    rule: PositionRule,
    state: StreamState,
    prompt: ChoicePrompt,
    number: int,
) -> tuple[_Part, list[_Part]]:
    """Return a prompt, and the choices after it that have tokens to feed."""
    run, after = Run.of(rule, state, prompt)
    root = _Part(
        run,
        [
            (index, len(run) - 1, choice[0])
            for index, choice in enumerate(prompt.choices, start=number)
        ],
    )
    first = after.last_cache_position + 1
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
    """Yield as few passes of at most ``PIECE`` tokens as trees in their order give."""
    waiting: list[Sequence[_Part]] = []
    tokens = 0
    for tree in trees:
        size = sum(len(part.run) for part in tree)
        if waiting and tokens + size > branches.PIECE:
            yield _together(waiting, tail)
            waiting, tokens = [], 0
        waiting.append(tree)
        tokens += size
    if waiting:
        yield _together(waiting, tail)


def _together(trees: Sequence[Sequence[_Part]], tail: int) -> ScoringPass:
    """Return the pass of trees, of which each has its first part before all others."""
    runs: list[Run] = []
    after: list[tuple[int, tuple[int, int]]] = []
    scores: list[Score] = []
    at = 0
    for root, *leaves in trees:
        first = at, at + len(root.run)
        for part in (root, *leaves):
            runs.append(part.run)
            after.append((len(part.run), (0, 0) if part is root else first))
            scores += [(index, at + row, token) for index, row, token in part.scores]
            at += len(part.run)
    return ScoringPass(Run.joined(runs), Tree.of(after) if len(runs) > 1 else None, scores, tail)
