# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random prompts with random choices after them, to test the masks of trees."""

from __future__ import annotations

import torch

from streamvlm_ros.engine.ops.attention import Tree


def random_tree(tokens: int) -> Tree:
    """Return a tree of several roots, with as many leaves as fit."""
    runs, at = [], 0
    while at < tokens:
        root = at, at + min(tokens - at, int(torch.randint(1, 7, ())))
        sizes = torch.randint(1, 5, (3,)).tolist()
        for size, behind in ((root[1] - at, (0, 0)), *((size, root) for size in sizes)):
            if size := min(size, tokens - at):
                runs.append((size, behind))
                at += size
    return Tree.of(runs)
