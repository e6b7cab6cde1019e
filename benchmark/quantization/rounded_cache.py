# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Caches that hold what fewer bits would have left of keys and values; the engine stays as it is.

What is written is rounded to a format and back, in a stream's cache and in the tails of branches,
keys with their rotation on, which is how both hold them. A chunk still attends to its own tokens
as they were computed, and to those before it as they are held: with a cache of that format it
would be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import math
from unittest import mock

import torch

from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.tail import Tail
from streamvlm_ros.engine.ops.attention import KeysValues

# Takes a layer's index, keys and values [kv_heads, n, head_dim]; returns what is held of them.
Change = Callable[[int, torch.Tensor, torch.Tensor], KeysValues]
Format = torch.dtype | None

E4M3, E5M2, BF16 = torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16
# The format of keys and that of values; None: as computed.  On a GPU bf16 is cached.
WAYS: dict[str, tuple[Format, Format]] = {
    'bf16': (BF16, BF16),
    'values e4m3': (None, E4M3),
    'keys e4m3': (E4M3, None),
    'both e4m3': (E4M3, E4M3),
    'both e5m2': (E5M2, E5M2),
}


@contextlib.contextmanager
def stored(change: Change) -> Iterator[None]:
    """Have every cache of this process hold what ``change`` makes of what is written.

    Only what goes through ``StreamCache.store`` and ``Tail.write`` is changed: on a GPU kernels
    write past them, and keys that are turned to new positions are not rounded again.
    """
    store, write = StreamCache.store, Tail.write

    def changed_store(
        cache: StreamCache, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        store(cache, layer, *change(layer, keys, values))

    def changed_write(
        tail: Tail, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> KeysValues:
        return write(tail, layer, *change(layer, keys, values))

    with (
        mock.patch.object(StreamCache, 'store', changed_store),
        mock.patch.object(Tail, 'write', changed_write),
    ):
        yield


@dataclasses.dataclass
class Largest:
    """A change that changes nothing: it notes the largest absolute value of every layer.

    Attributes:
        keys: by layer; values likewise.
        values: see keys.

    """

    keys: dict[int, float] = dataclasses.field(default_factory=dict)
    values: dict[int, float] = dataclasses.field(default_factory=dict)

    def __call__(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Note, and return what came."""
        for noted, each in ((self.keys, keys), (self.values, values)):
            noted[layer] = max(noted.get(layer, 0.0), float(each.abs().max()))
        return keys, values


@dataclasses.dataclass
class Rounding:
    """A change to a format of fewer bits, with a scale a layer for keys and one for values.

    Attributes:
        keys: the format of keys; values likewise.
        values: see keys.
        largest: what the scales are chosen by.
        saturated: numbers that were beyond the format's largest after all, and were cut to it.

    """

    keys: Format
    values: Format
    largest: Largest
    saturated: int = 0

    def __call__(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Return what is left of them."""
        return (
            self._round(keys, self.keys, self.largest.keys[layer]),
            self._round(values, self.values, self.largest.values[layer]),
        )

    def _round(self, x: torch.Tensor, dtype: Format, largest: float) -> torch.Tensor:
        if dtype is None:
            return x
        scaled = x / scale(largest, dtype)
        self.saturated += int((scaled.abs() > torch.finfo(dtype).max).sum())
        return rounded(scaled, dtype) * scale(largest, dtype)


def scale(largest: float, dtype: torch.dtype) -> float:
    """Return the least power of two that numbers up to ``largest`` fit when divided by it."""
    if largest == 0.0:
        return 1.0
    return 2.0 ** math.ceil(math.log2(largest / torch.finfo(dtype).max))


def rounded(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Round to a format and back; what is beyond its largest becomes that, not NaN."""
    most = torch.finfo(dtype).max
    return x.clamp(-most, most).to(dtype).to(x.dtype)
