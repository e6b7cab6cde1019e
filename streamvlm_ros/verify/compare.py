# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the two sides said, compared; rounding is judged by how stock itself is rounded."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from streamvlm_ros.verify.exchange import Reply, Shown, StockReply

# The engine may be so many times as far from stock as stock is from itself, with its prompt
# prefilled in pieces, or in float32; two sides that are both rounded are twice as far apart.
FACTOR = 3.0
# Least that is allowed, of the largest logit: where stock happens not to be rounded at all.
LEAST = 1e-4
SAME_LEVEL = 1e-3  # levels of 255 that the arithmetic of float32 may move a pixel


@dataclasses.dataclass(frozen=True)
class Pixels:
    """One clip's patches.

    Attributes:
        clip: its name.
        levels: largest difference, in levels of 255; None: the sizes differ.
        share: of the values that differ.

    """

    clip: str
    levels: float | None
    share: float

    @property
    def equal(self) -> bool:
        """Whether both sides see the same pixels."""
        return self.levels is not None and self.levels <= SAME_LEVEL


@dataclasses.dataclass(frozen=True)
class Judged:
    """One case.

    Attributes:
        clip: its name.
        mode, chunk: how it was streamed.
        prompt: both sides have a prompt of the same length.
        tokens: 'equal'; 'tie': they part where stock's rounding decides; 'differ'.
        parted: the number of the token from which they differ; None: they do not.
        margin: by how much stock prefers its own token there; None: they do not.
        distance: largest difference of the first token's logits.
        exact_distance: the engine's from float32's; None: there is no float32.
        choices: 'equal', 'tie' or 'differ': the order of the choices.
        probability: largest difference of a choice's probability.

    """

    clip: str
    mode: str
    chunk: int
    prompt: bool
    tokens: str
    parted: int | None
    margin: float | None
    distance: float
    exact_distance: float | None
    choices: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Noise:
    """How far stock is from itself: the first token's logits.

    Attributes:
        pieces: with its prompt prefilled chunk by chunk.
        exact: from float32; None: it is in float32, or there was no room.
        allowed: how far the engine may be from stock.

    """

    pieces: float
    exact: float | None
    allowed: float


def stock_noise(replies: Sequence[StockReply]) -> Noise:
    """Return how far stock is from itself, at most."""
    pieces = max(_apart(each.logits, each.pieces) for each in replies)
    exacts = [_apart(each.logits, each.exact) for each in replies if each.exact is not None]
    exact = max(exacts) if exacts else None
    largest = max(float(np.abs(each.logits).max()) for each in replies)
    return Noise(pieces, exact, max(FACTOR * max(pieces, exact or 0.0), LEAST * largest))


def judge(case: Shown, clip: str, stock: StockReply, ours: Reply, allowed: float) -> Judged:
    """Compare two replies."""
    parted, margin = _parting(stock, ours.tokens)
    tokens = 'equal'
    if parted is not None:
        tokens = 'tie' if margin is not None and margin <= allowed else 'differ'
    return Judged(
        clip,
        case.mode,
        case.chunk,
        stock.prompt_tokens == ours.prompt_tokens,
        tokens,
        parted,
        margin,
        _apart(stock.logits, ours.logits),
        None if stock.exact is None else _apart(stock.exact, ours.logits),
        _order(stock.choices, ours.choices, allowed),
        max(abs(a - b) for a, b in zip(stock.choices, ours.choices)),
    )


def compare_pixels(
    clip: str,
    stock: np.ndarray,
    ours: np.ndarray,
    std: Sequence[float],
) -> Pixels:
    """Compare patches [rows, values] of the same frames.

    Args:
        clip: its name.
        stock, ours: the patches.
        std: that the levels were divided by, of each colour.

    """
    if stock.shape != ours.shape:
        return Pixels(clip, None, 1.0)
    colours = np.repeat(np.asarray(std, np.float32) * 255, stock.shape[1] // len(std))
    levels = np.abs(stock - ours) * colours
    return Pixels(clip, float(levels.max()), float((levels > SAME_LEVEL).mean()))


def _parting(stock: StockReply, ours: Sequence[int]) -> tuple[int | None, float | None]:
    """Return the first token that differs, and by how much stock prefers its own there."""
    for number, (best, token) in enumerate(zip(stock.best, ours)):
        ids, scores = best
        if token != ids[0]:
            found = scores[ids.index(token)] if token in ids else None
            return number, None if found is None else scores[0] - found
    if len(ours) != len(stock.tokens):
        return min(len(ours), len(stock.tokens)), None
    return None, None


def _order(stock: Sequence[float], ours: Sequence[float], allowed: float) -> str:
    """Compare the order of choices by their probabilities."""
    verdict = 'equal'
    for i, one in enumerate(stock):
        for j, other in enumerate(stock):
            if one > other and ours[i] < ours[j]:
                # A choice's score is the sum over its tokens, each of which may be rounded.
                near = math.log(one) - math.log(max(other, 1e-300)) <= 2 * allowed
                verdict = 'tie' if near and verdict != 'differ' else 'differ'
    return verdict


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())
