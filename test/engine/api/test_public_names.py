# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every type that a public signature takes or returns can be imported from where it is public."""

from __future__ import annotations

import dataclasses
import inspect
import types
from typing import Any, get_args, get_type_hints

import pytest

import streamvlm_ros
from streamvlm_ros import engine
from streamvlm_ros.engine import StreamingVLM

# What a program never names.
INNER = {
    'streamvlm_ros.engine.store.place.FilePlace',  # the node's own way to open a place
    'streamvlm_ros.engine.kvcache.manager.StateOwner',  # protocols: a model, an inference
    'streamvlm_ros.engine.kvcache.manager.WholeOwner',
}
# A program gets and hands over these, and looks no deeper than their attributes.
PARTS = {
    'AnswerStream',
    'LoadedStream',
    'Snapshot',
    'StreamCache',
    'StreamingModel',
    'StreamProcessor',
    'StreamQwenModel',
}


def types_in(hint: Any) -> set[type]:
    """Return our classes in a hint, however deep."""
    if get_args(hint):
        return {each for part in get_args(hint) for each in types_in(part)}
    if isinstance(hint, list | tuple):
        return {each for part in hint for each in types_in(part)}
    ours = isinstance(hint, type) and hint.__module__.startswith('streamvlm_ros')
    return {hint} if ours else set()


def signatures_of(value: Any) -> list[Any]:
    """Return the functions whose signatures a public name shows."""
    if inspect.isfunction(value):
        return [value]
    if not isinstance(value, type) or issubclass(value, Exception):
        return []
    found = []
    for name, member in vars(value).items():
        if name.startswith('_') and name != '__init__':
            continue
        member = getattr(member, '__func__', getattr(member, 'fget', member))
        if isinstance(member, types.FunctionType):
            found.append(member)
    return found


def shown_by(value: Any) -> set[type]:
    """Return the types that a public name takes, returns, or has as fields."""
    shown = set()
    for function in signatures_of(value):
        for hint in get_type_hints(inspect.unwrap(function)).values():
            shown |= types_in(hint)
    if dataclasses.is_dataclass(value):
        for hint in get_type_hints(value).values():
            shown |= types_in(hint)
    return shown


def missing(module: types.ModuleType, names: list[str]) -> set[str]:
    public = {getattr(module, name) for name in module.__all__}
    shown = {each for name in names for each in shown_by(getattr(module, name))}
    return {f'{each.__module__}.{each.__qualname__}' for each in shown - public} - INNER


def test_of_the_package() -> None:
    below = {*PARTS, 'VideoStreamingInference'}  # which is looked at with the engine
    assert not missing(
        streamvlm_ros, [each for each in streamvlm_ros.__all__ if each not in below]
    )
    assert set(streamvlm_ros.__all__) <= set(dir(streamvlm_ros))
    for name in streamvlm_ros.__all__:
        assert name in engine.__all__ and getattr(streamvlm_ros, name) is getattr(engine, name)


def test_of_the_engine() -> None:
    assert not missing(engine, [name for name in engine.__all__ if name not in PARTS])


def test_the_walk_sees_a_missing_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        streamvlm_ros, '__all__', [each for each in streamvlm_ros.__all__ if each != 'CacheInfo']
    )
    assert missing(streamvlm_ros, ['StreamingVLM']) == {'streamvlm_ros.engine.outputs.CacheInfo'}
    assert engine.CacheInfo in shown_by(StreamingVLM)
