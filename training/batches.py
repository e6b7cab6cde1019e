# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packed clips side by side in a batch, and processes that draw batches ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import queue
import random
import threading
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from streamvlm_ros.engine.positions import Grid
from training.data import Clip
from training.layout import Branch, IGNORED


@dataclasses.dataclass
class Batch:
    """Clips side by side; shorter ones are padded at the end with tokens that see themselves."""

    frames: torch.Tensor
    grid: Grid
    ids: torch.Tensor
    positions: torch.Tensor
    owner: torch.Tensor
    when: torch.Tensor
    gone: torch.Tensor
    labels: torch.Tensor
    marks: torch.Tensor
    memory: torch.Tensor
    branches: list[list[Branch]]

    def to(self, device: torch.device) -> Batch:
        """Move every tensor."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Pin every tensor, so that it can be uploaded while the GPU computes."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        changed: dict[str, Any] = {
            name: change(value)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return dataclasses.replace(self, **changed)


def collate(clips: Sequence[Clip], grid: tuple[int, int]) -> Batch:
    """Put clips of one grid and frame count into a batch."""
    # Attention kernels take masks whose rows are whole multiples of this.
    length = -(-max(len(c.ids) for c in clips) // 16) * 16

    def padded(arrays: list[np.ndarray], value: int) -> torch.Tensor:
        return torch.from_numpy(
            np.stack(
                [
                    np.pad(
                        a,
                        [(0, 0)] * (a.ndim - 1) + [(0, length - a.shape[-1])],
                        constant_values=value,
                    )
                    for a in arrays
                ]
            )
        )

    frames = torch.from_numpy(np.stack([c.frames for c in clips]))
    return Batch(
        frames=frames,
        grid=Grid(frames.shape[0] * frames.shape[1] // 2, grid[1], grid[0]),
        ids=padded([c.ids for c in clips], 0),
        positions=padded([c.positions for c in clips], 0).transpose(0, 1),
        owner=padded([c.owner for c in clips], -1),
        when=padded([c.when for c in clips], 0),
        gone=padded([c.gone for c in clips], 0),
        labels=padded([c.labels for c in clips], IGNORED),
        marks=torch.from_numpy(np.stack([c.marks for c in clips])),
        memory=torch.from_numpy(np.stack([c.memory for c in clips])),
        branches=[c.branches for c in clips],
    )


class _Drawn(IterableDataset[Batch]):
    """Batches by step number, every worker its share of the steps."""

    def __init__(self, make: Callable[[int], Batch], first: int) -> None:
        self._make, self._first = make, first

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        step, stride = (
            (self._first, 1) if info is None else (self._first + info.id, info.num_workers)
        )
        while True:
            yield self._make(step)
            step += stride


class BatchSource:
    """
    Batches for ever: a new one whenever one is ready, else one of the newest again.

    A GPU trains faster than the processor's cores draw, so it sees each batch a few times.
    """

    def __init__(
        self,
        make: Callable[[int], Batch],
        first: int,
        workers: int,
        device: torch.device,
        keep: int,
    ) -> None:
        """
        Begin to draw.

        :param make: Makes the batch of a step; run in worker processes.
        :param keep: How many of the newest batches stay on the device, to be seen again.
        """
        self.fresh = self.repeated = 0
        self._device, self._keep = device, keep
        self._random = random.Random(first)
        self._pool: list[Batch] = []
        # A long batch takes a multiple of a short one's time; no worker waits for another's. One
        # each lies ready, as those of several scenes fill shared memory.
        loader = DataLoader(
            _Drawn(make, first),
            batch_size=None,
            num_workers=workers,
            pin_memory=workers > 0 and device.type == 'cuda',
            prefetch_factor=1 if workers else None,
            in_order=workers == 0,
        )
        self._loader = iter(loader)
        self._ready: queue.Queue[Batch] = queue.Queue(maxsize=4)
        self._background = workers > 0
        if self._background:
            threading.Thread(target=self._feed, daemon=True).start()

    def _feed(self) -> None:
        for batch in self._loader:
            self._ready.put(batch)

    def next(self) -> Batch:
        """Return a batch on the device."""
        if not self._background:
            return next(self._loader).to(self._device)
        try:
            batch = self._ready.get(block=len(self._pool) < 2)
        except queue.Empty:
            self.repeated += 1
            return self._random.choice(self._pool)
        self.fresh += 1
        self._pool.append(batch.to(self._device))
        if len(self._pool) > self._keep:
            self._pool.pop(0)
        return self._pool[-1]
