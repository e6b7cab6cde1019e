# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model from the hub onto this machine: its small files first, and the weights if it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import pathlib

from streamvlm_ros.engine.models.folder.files import MAX_BYTES
from streamvlm_ros.engine.models.folder.weight_files import INDEX, SINGLE, weight_names
from streamvlm_ros.engine.models.hub.repository import CONFIG, look_up, Repository
from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.engine.models.registry import family_at

SMALL = ('.json', '.jinja', '.txt')


class Download:
    """One model on its way: the small files are there when it has been made.

    Attributes:
        folder: where its files are.
        weights: names of the files of weights.
        sizes: bytes of each, by name.

    """

    def __init__(self, name: str, folder: pathlib.Path | None = None) -> None:
        """Look the model up, fetch its small files, and check them.

        Args:
            name: hub id.
            folder: where to put it; None: into the cache that transformers uses too.

        Raises:
            OSError: there is no such model, it is gated, or the hub cannot be reached.
            ValueError: it is of a family that is not run, or one of its files is refused.

        """
        self._repository: Repository = look_up(name, folder)
        sizes = self._repository.sizes
        # The configuration comes first: a family that is not run is refused by a few kB.
        small = [
            each
            for each in sorted(sizes, key=lambda each: (each != CONFIG, each))
            if each.endswith(SMALL) and sizes[each] <= MAX_BYTES
        ]
        if CONFIG not in small:
            raise FileNotFoundError(f'{name} on the hub is not a model: it has no config.json.')
        self.folder = self._repository.download(small[:1])
        family_at(self.folder).read_config(self.folder)
        self._repository.check_room(small)
        self._repository.download(small[1:])
        load_processor(self.folder)
        self.weights = self._weight_names(name)
        self.sizes = {each: sizes[each] for each in self.weights}

    @property
    def bytes(self) -> int:
        """Size of the weights."""
        return sum(self.sizes.values())

    def finish(self, progress: Callable[[int], object] = lambda _: None) -> pathlib.Path:
        """Fetch the weights, and return the folder.

        Args:
            progress: is told of every piece how many bytes it had.

        Raises:
            OSError: they do not fit the disk, or the hub cannot be reached any more.

        """
        self._repository.check_room(self.weights)
        return self._repository.download(self.weights, progress)

    def _weight_names(self, name: str) -> Sequence[str]:
        sizes = self._repository.sizes
        names = [SINGLE] if SINGLE in sizes else weight_names(self.folder)
        missing = [each for each in names if each not in sizes]
        if missing:
            raise FileNotFoundError(f'{name} on the hub lacks {missing[0]}, which {INDEX} names.')
        return names
