# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a config.json says about weights that are quantized already: AWQ is run, others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from streamvlm_ros.engine.ops.quantization import GROUPS

# Keys of a config.json, whatever the version of the program that wrote it.
KEYS = ('quantization_config', 'compression_config')
INSTEAD = (
    "Take the model's full weights and set quantization: int8 or int4, or take its AWQ folder "
    '(4 bits with zero points, version gemm).'
)


@dataclasses.dataclass(frozen=True)
class Awq:
    """How a folder's matrices are stored.

    Attributes:
        group: values of a row that share a scale and a zero point.
        whole: parts of the names of modules whose matrices are not quantized.

    """

    group: int
    whole: Sequence[str]


def read_quantization(file: str, values: Mapping[str, Any]) -> Awq | None:
    """Return how a folder's matrices are stored; None: as they are.

    Args:
        file: the config.json, for sentences.
        values: what it says.

    Raises:
        ValueError: they are quantized in a way that is not run here.

    """
    sections = [values, *(values.get(name) for name in ('text_config', 'vision_config'))]
    found = [
        section[key]
        for section in sections
        if isinstance(section, Mapping)
        for key in KEYS
        if section.get(key) is not None
    ]
    if not found:
        return None
    for settings in found:
        _refuse_others(file, settings)
    settings = found[0]
    whole = settings.get('modules_to_not_convert') or []
    if not isinstance(whole, list) or not all(isinstance(each, str) for each in whole):
        raise ValueError(
            f'{file}: modules_to_not_convert is {whole!r:.80}; it must be a list of names.'
        )
    return Awq(settings.get('group_size', GROUPS[0]), tuple(whole))


def _refuse_others(file: str, settings: Any) -> None:
    name = _method(settings)
    if name.lower() != 'awq':
        raise ValueError(
            f'{file} says that the weights are quantized already ({name:.40}), and those are '
            f'not run. {INSTEAD}'
        )
    for key, default, taken in (
        ('bits', 4, (4,)),
        ('group_size', GROUPS[0], GROUPS),
        ('zero_point', True, (True,)),
        ('version', 'gemm', ('gemm', 'GEMM')),
    ):
        value = settings.get(key, default)
        if type(value) is not type(default) or value not in taken:
            raise ValueError(
                f'{file} says that the weights are quantized already (awq), with {key} '
                f'{value!r:.40}; only {_listed(taken)} is run. {INSTEAD}'
            )


def _method(settings: Any) -> str:
    if not isinstance(settings, Mapping):
        return ''
    if any(settings.get(key) for key in ('load_in_4bit', 'load_in_8bit')):
        return 'bitsandbytes'
    return str(settings.get('quant_method') or '')


def _listed(taken: Sequence[Any]) -> str:
    return ' or '.join(dict.fromkeys(str(each).lower() for each in taken))
