# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a question wants its answer drawn: what requests, parameters and commands can say.

No torch and no ROS are needed. What the model's folder says is in `engine.models.generation`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from streamvlm_ros import checks
from streamvlm_ros.errors import ErrorCode, StreamError

Generation = Literal['', 'model', 'plain']
SOURCES = ('model', 'plain')
# The least and the largest value of each; 0 leaves it to what comes next. Below these temperatures
# and penalties, scores of real models leave the range of float32.
BOUNDS: dict[str, tuple[float, float]] = {
    'temperature': (1e-6, 100.0),
    'top_p': (0.0, 1.0),
    'min_p': (0.0, 1.0),
    'repetition_penalty': (0.01, 100.0),
}
LARGEST_INTEGER = 2**32 - 1  # of top_k and seed, as the messages have it


@dataclasses.dataclass(frozen=True)
class AnswerSettings:
    """How the tokens of one answer are chosen; zero and empty leave a value open.

    What a request leaves open the node's parameters say, and what these leave open the model's
    generation_config.json says, or with `plain` nothing does.

    Attributes:
        generation: where open values come from: 'model' or 'plain'.
        sample: draw tokens at random; False takes the most probable one after the penalty.
        temperature: of the softmax, 1e-6 to 100; above 0 it also makes the answer a drawn one.
        top_p: draw from the most probable tokens that together have this share, up to 1.
        top_k: draw from so many of the most probable tokens.
        min_p: draw from tokens at least this share as probable as the most probable one.
        repetition_penalty: scores of tokens that prompt or answer have already are divided by it
            where positive, multiplied where negative; 0.01 to 100, and 1 changes nothing.
        seed: of the random numbers; the same question with the same seed is answered the same.

    Raises:
        StreamError: INVALID_REQUEST; a value is out of range.

    """

    generation: str = ''
    sample: bool = False
    temperature: float = 0.0
    top_p: float = 0.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no answer can be drawn with."""
        for field in dataclasses.fields(self):
            value = checks.OF_TYPE[type(field.default)](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.generation not in ('', *SOURCES):
            _refuse('generation', self.generation, f"'{SOURCES[0]}', '{SOURCES[1]}' or nothing")
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if value != 0 and not least <= value <= most:
                _refuse(name, value, f'{least:g} to {most:g}, or 0 to leave it open')
        for name in ('top_k', 'seed'):
            value = getattr(self, name)
            if not 0 <= value <= LARGEST_INTEGER:
                _refuse(name, value, f'a whole number from 0 to {LARGEST_INTEGER}')

    def over(self, others: AnswerSettings) -> AnswerSettings:
        """Return these settings with what they leave open taken from others.

        Settings that name `generation` take nothing but the seed: they say where open values
        come from.
        """
        if self.generation:
            return dataclasses.replace(self, seed=self.seed or others.seed)
        return AnswerSettings(
            **{
                field.name: getattr(self, field.name) or getattr(others, field.name)
                for field in dataclasses.fields(self)
            }
        )


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, and not true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, value: Any, wanted: str) -> None:
    raise StreamError(ErrorCode.INVALID_REQUEST, f'{name} is {value!r:.80}; give {wanted}.')
