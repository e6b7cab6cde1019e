# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model says about its answers: ``generation_config.json``.

Read by the rules of transformers' ``generate``: what is not there has its defaults.  A value of a
wrong type or outside of its range is refused, as the model's author cannot have meant it.  Rules
that the engine does not have are left out and named, so that the user is told: the model is right
without them, and its answers differ from those of ``generate`` at most where such a rule decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import os
from typing import Any

from streamvlm_ros.answer_settings import BOUNDS, is_number
from streamvlm_ros.engine.models.folder.files import expand, read_json

FILE = 'generation_config.json'
# ``generate`` draws from so many tokens where the file does not say.
DEFAULT_TOP_K = 50
LARGEST_TOP_K = 1 << 22


def _several(value: Any) -> bool:
    return is_number(value) and value > 1


def _positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _share(value: Any) -> bool:
    return is_number(value) and 0 < value < 1


def _not_one(value: Any) -> bool:
    return is_number(value) and value != 1


def _given(value: Any) -> bool:
    return value is not None


# Rules that change which tokens ``generate`` gives, by whether a value turns them on.
_NOT_APPLIED: dict[str, Callable[[Any], bool]] = {
    'num_beams': _several,
    'num_beam_groups': _several,
    'penalty_alpha': _positive,
    'dola_layers': bool,
    'guidance_scale': _not_one,
    'sequence_bias': bool,
    'encoder_repetition_penalty': _not_one,
    'no_repeat_ngram_size': _positive,
    'encoder_no_repeat_ngram_size': _positive,
    'bad_words_ids': bool,
    'force_words_ids': bool,
    'constraints': bool,
    'min_length': _positive,
    'min_new_tokens': _positive,
    'forced_bos_token_id': _given,
    'forced_eos_token_id': _given,
    'exponential_decay_length_penalty': bool,
    'suppress_tokens': bool,
    'begin_suppress_tokens': bool,
    'stop_strings': bool,
    'top_h': _given,
    'typical_p': _share,
    'epsilon_cutoff': _share,
    'eta_cutoff': _share,
    'watermarking_config': bool,
}


@dataclasses.dataclass(frozen=True)
class GenerationSettings:
    """How a model's answers are drawn, and what ends them; plain greedy by default.

    Attributes:
        stop_tokens: ids that end an answer, besides the end of a turn.
        sample: whether ``generate`` draws at random; the engine does so only if it is asked to.
        temperature: of the softmax; below 1e-6 the most probable token is taken.
        top_k: draw from so many of the most probable tokens; 0: from all.
        top_p: draw from the most probable tokens that together have this share.
        min_p: draw from tokens at least this share as probable as the most probable one.
        repetition_penalty: scores of tokens that prompt or answer have are divided by it where
            positive, multiplied where negative.
        not_applied: rules that ``generate`` would apply and the engine does not, as
            ``name value``.

    """

    stop_tokens: tuple[int, ...] = ()
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    not_applied: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What a user should know of them; empty if answers are plain greedy."""
        told = []
        if self.repetition_penalty != 1.0:
            told.append(
                f"The model's {FILE} has a repetition penalty of {self.repetition_penalty:g}: "
                'answers take the most probable token after it.'
            )
        if self.not_applied:
            told.append(
                f"The model's {FILE} has rules that are not applied here: "
                f'{", ".join(self.not_applied)}. Its answers may differ from those that '
                'transformers gives.'
            )
        return told

    @classmethod
    def of(cls, said: Any, file: str = FILE) -> GenerationSettings:
        """Read what a file, or transformers' ``GenerationConfig``, says.

        Args:
            said: a mapping, or an object with attributes; None: nothing is said.
            file: for sentences about it.

        Raises:
            ValueError: a value is not of its type, or out of its range.

        """
        get = said.get if isinstance(said, Mapping) else lambda name: getattr(said, name, None)
        numbers = {
            name: _number(
                get(name), name, 0.0 if name != 'repetition_penalty' else low, high, file
            )
            for name, (low, high) in BOUNDS.items()
        }
        sample = get('do_sample')
        if sample is not None and not isinstance(sample, bool):
            _refuse(file, 'do_sample', sample, 'true or false')
        top_k = get('top_k')
        if top_k is not None and not (type(top_k) is int and 0 <= top_k <= LARGEST_TOP_K):
            _refuse(file, 'top_k', top_k, f'a whole number from 0 to {LARGEST_TOP_K}')
        return cls(
            stop_tokens=_stop_tokens(get('eos_token_id'), file),
            sample=bool(sample),
            top_k=DEFAULT_TOP_K if top_k is None else top_k,
            not_applied=tuple(
                f'{name} {get(name)!r:.60}'
                for name, is_on in _NOT_APPLIED.items()
                if get(name) is not None and is_on(get(name))
            ),
            **{name: value for name, value in numbers.items() if value is not None},
        )


PLAIN = GenerationSettings()


def check_generation(path: str | os.PathLike[str]) -> None:
    """Refuse a folder whose generation_config.json has impossible values.

    Raises:
        ValueError: as ``GenerationSettings.of``.

    """
    GenerationSettings.of(read_json(path, FILE), os.path.join(expand(path), FILE))


def _number(value: Any, name: str, least: float, most: float, file: str) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not least <= value <= most:
        _refuse(file, name, value, f'a number from {least:g} to {most:g}')
    return float(value)


def _stop_tokens(stop: Any, file: str) -> tuple[int, ...]:
    tokens = [] if stop is None else list(stop) if isinstance(stop, (list, tuple)) else [stop]
    if any(type(token) is not int or token < 0 for token in tokens):
        _refuse(file, 'eos_token_id', stop, 'token ids')
    return tuple(tokens)


def _refuse(file: str, name: str, value: Any, wanted: str) -> None:
    raise ValueError(f'{file}: {name} is {value!r:.80}; it must be {wanted}.')
