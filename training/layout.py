# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tokens of a packed clip: the trunk, then every question with its answer as a branch."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from streamvlm_ros.scenes.questions import Question
from training.paper import NEVER, Stop, Trunk

IGNORED = -100


@dataclasses.dataclass(frozen=True)
class Branch:
    """One question of a packed clip and where its answer's labels are."""

    question: Question
    is_choice: bool
    # First and one-past-last index of the answer; one span per choice in evaluation.
    spans: tuple[tuple[int, int], ...]
    choices: tuple[str, ...]


@dataclasses.dataclass
class Layout:
    """
    The tokens of a packed clip: the trunk, then every branch.

    Int64 arrays over the n tokens: `ids`, `positions` [3, n], `owner` (0: the trunk, else the
    branch's number), `when` (on the trunk's clock: what has come by then is seen), `gone` (from
    when on a token of the trunk is not seen), `labels` (the answers' tokens).
    """

    branches: list[Branch]
    ids: np.ndarray
    positions: np.ndarray
    owner: np.ndarray
    when: np.ndarray
    gone: np.ndarray
    labels: np.ndarray


class Packed:
    """A growing packed sequence."""

    def __init__(self, trunk: Trunk) -> None:
        """Begin with a trunk."""
        length = len(trunk.ids)
        self._trunk = trunk
        self.ids = list(trunk.ids)
        self.positions = [trunk.positions]
        self.owner = [0] * length
        self.when = list(trunk.when)
        self.gone = list(trunk.gone)
        self.labels = [IGNORED] * length

    def add(self, stop: Stop, tail: list[int], answer: list[int]) -> tuple[int, int]:
        """Append a branch after a stop; return where its answer is."""
        ids = [*tail, *answer]
        start = len(self.ids)
        self.owner += [self.owner[-1] + 1] * len(ids)
        self.when += [stop.when] * len(ids)
        self.gone += [NEVER] * len(ids)
        self.labels += [IGNORED] * len(tail) + answer
        self.ids += ids
        self.positions.append(self._trunk.branch(stop, ids))
        return start + len(tail), start + len(ids)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return ids, positions [3, n], owner, when, gone, labels."""
        lists = (self.ids, self.owner, self.when, self.gone, self.labels)
        ids, owner, when, gone, labels = (np.asarray(x, np.int64) for x in lists)
        return ids, torch.cat(self.positions, dim=1).numpy(), owner, when, gone, labels
