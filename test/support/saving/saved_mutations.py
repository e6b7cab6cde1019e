# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are not what a stream has saved, with right checksums: each is refused, or harmless.

The kinds of change are in changes.py.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import pathlib
import random
from typing import Any

from support.models.random_models import processor, random_clip, random_model
from support.saving.changed_description import holder, leaves
from support.saving.changes import Change, CHANGES, CONTENT
from support.saving.consistent import check_consistent
from support.saving.saved_bytes import SavedBytes

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings, VideoStreamingInference


@dataclasses.dataclass(frozen=True)
class Base:
    """A good file, and what a stream that has loaded it goes on to say."""

    settings: dict[str, Any]
    data: bytes
    told: tuple


@dataclasses.dataclass
class Counts:
    """What became of the changed files of one kind."""

    refused: int = 0
    same: int = 0
    other: int = 0


SETTINGS: tuple[dict[str, Any], ...] = (
    {'capacity': 96, 'skip_static': 1.0},
    {'capacity': 96, 'position_mode': 'append'},
    {'time_source': 'uniform', 'sample_rate': 3.0},
    {'capacity': 96, 'rebase_position': 60},
    {'chunk_frames': 8},
)


def stream(settings: dict[str, Any]) -> VideoStreamingInference:
    return VideoStreamingInference(
        random_model('one_kv_head'),
        processor(),
        settings=StreamSettings(**{'capacity': 256, **settings}),
    )


def feed(engine: VideoStreamingInference, first: int, last: int) -> None:
    for i in range(first, last):
        # Every third pair is a still one.
        image = random_clip(i // 2 - (i // 2 % 3 == 2), 1, 56, 84)[0]
        engine.append_frame(image, 100.0 + 0.5 * i, 'eye')


def go_on(engine: VideoStreamingInference) -> tuple:
    """Ask, show more frames, and ask again."""
    answers = [engine.ask('What?', 3)[0]]
    check_consistent(engine)
    feed(engine, 40, 45)
    check_consistent(engine)
    choice = engine.ask_choice('Which?', ['a', 'b'])
    info = engine.get_cache_info()
    return (*answers, choice.index, info.tokens, info.pending_frames, info.last_cache_position)


class Mutations:
    """Changes good files by a seed, and sees what loading them does."""

    def __init__(self, folder: pathlib.Path, seed: int) -> None:
        """Save the good files."""
        self._path = folder / 'mutated.safetensors'
        self._rng = random.Random(seed)
        self._engines, self._bases = [], []
        self._running = []
        self.counts: dict[str, Counts] = collections.defaultdict(Counts)
        for index, settings in enumerate(SETTINGS):
            engine = stream(settings)
            feed(engine, 0, 17)
            if index % 2:
                engine.ask('And before?', 3, update_state=True)
            feed(engine, 17, 23 + index)
            engine.save(self._path)
            data = self._path.read_bytes()
            engine.load(self._path)
            self._bases.append(Base(settings, data, go_on(engine)))
            running = folder / f'running.{index}'
            engine.reset()
            feed(engine, 3, 9)
            engine.save(running)
            self._running.append(running)
            self._engines.append(engine)

    def run(self, number: int) -> None:
        """Change and load so many files.

        Raises:
            AssertionError: one was neither refused nor harmless; its message says which.

        """
        for i in range(number):
            self._one(i, CHANGES[i % len(CHANGES)])

    def _one(self, number: int, change: Change) -> None:
        which = self._rng.randrange(len(self._bases))
        base, engine = self._bases[which], self._engines[which]
        file = SavedBytes(base.data)
        before = copy.deepcopy(file.about)
        change(self._rng, file)
        self._path.write_bytes(file.compose())
        name = f'{number}: {change.__name__} of {base.settings}'
        counts = self.counts[change.__name__]
        as_it_was = self._state(engine)
        try:
            engine.load(self._path)
        except StreamError as error:
            assert error.code in (ErrorCode.FILE_ERROR, ErrorCode.OUT_OF_MEMORY), (name, error)
            text = str(error)
            assert text.endswith('.') and text.isprintable() and len(text) < 700, (name, text)
            assert self._state(engine) == as_it_was, name
            counts.refused += 1
            return
        except Exception as error:
            raise AssertionError(name) from error
        try:
            check_consistent(engine)
            said = go_on(engine)
        except Exception as error:
            raise AssertionError(f'{name}: {changed(before, file.about)}') from error
        engine.load(self._running[which])
        if said == base.told:
            counts.same += 1
            return
        counts.other += 1
        assert change in CONTENT or (
            all(free(path) for path in changed(before, file.about)) and file.about != before
        ), (name, said, base.told, changed(before, file.about))

    @staticmethod
    def _state(engine: VideoStreamingInference) -> tuple:
        stream = engine.stream
        return (
            engine.get_cache_info(),
            stream.state,
            stream.place,
            stream.cache.entries,
            [
                id(frame)
                for frame in (
                    *stream.pending,
                    stream.newest,
                    stream.seen,
                    stream.paired,
                    stream.still.kept,
                )
            ],
            float(stream.cache.content(0)[0].sum()),
        )


def changed(before: Any, about: Any) -> list[tuple]:
    """Return the paths of what is not the same in two descriptions."""
    if type(before) is not type(about):
        return [()]
    paths = {path for each in (before, about) for path in leaves(each)}
    return sorted(
        (
            path
            for path in paths
            if _at(before, path) != _at(about, path)
            and not isinstance(_at(about, path), (dict, list))
        ),
        key=str,
    )


def free(path: tuple) -> bool:
    """Tell whether a reader cannot know what stands there.

    When the next frame comes by the clock, how much time passed in what was left out, whose eye a
    frame was, which of the sizes that make one grid the newest frames had.
    """
    return (
        path[:1] in (('next_ns',), ('skipped_ns',), ('still',), ('size',))
        or (path[:1] in (('pending',), ('landmarks',)) and path[-1] in (0, 1, 2))
        or (path[-1:] in (('start_ns',), ('last_ns',)))
    )


def _at(value: Any, path: tuple) -> Any:
    try:
        return holder(value, (*path, ''))
    except (LookupError, TypeError):
        return NotImplemented
