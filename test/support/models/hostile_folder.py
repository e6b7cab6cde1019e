# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model folder that a test damages: changed, given a program, and loaded as the node does."""

from __future__ import annotations

from collections.abc import Callable
import json
import pathlib
from typing import Any

from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    VideoStreamingInference,
)

TINY = pathlib.Path(resolve_model('tiny'))


class Program:
    """A pickle of it leaves a file behind when it is read."""

    def __init__(self, proof: pathlib.Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return pathlib.Path.touch, (self.proof,)


def change(folder: pathlib.Path, name: str, edit: Callable[[dict], Any]) -> None:
    """Change a JSON file of the folder."""
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))


def load(folder: pathlib.Path) -> None:
    """Load all of a model as the node does."""
    model = StreamQwenModel.from_pretrained(folder, dtype='float32')
    VideoStreamingInference(model, load_processor(folder))
