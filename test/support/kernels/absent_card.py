# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU that is not there: kernels are compiled for it as a launch would do it, and not launched.

What is asked of the card when kernels are imported, and when one is launched, is answered from its
description.  Everything between is Triton's own: how arguments are specialised, what is compiled
again and what is not.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import types
from typing import Any

import torch

KB = 1024


@dataclasses.dataclass(frozen=True)
class Card:
    """What kernels are made for.

    Attributes:
        capability: compute capability, ten times.
        shared: bytes of shared memory that a program may have; CUDA C++ programming guide, table
            'Technical specifications per compute capability'.

    """

    capability: int
    shared: int


CARDS = {
    'H100': Card(90, 227 * KB),
    'Jetson Orin': Card(87, 163 * KB),
    'Jetson Thor': Card(110, 227 * KB),
    'A100': Card(80, 163 * KB),
    'RTX 40': Card(89, 99 * KB),
    'RTX 50': Card(120, 99 * KB),
}


def name_of(function: Any) -> str:
    """Return a kernel's name: its module's and its own."""
    return f'{function.__module__.rpartition(".")[2]}.{function.__name__}'


class AbsentCard:
    """Stands in for the card in all that this process does from now on; there is no way back.

    Attributes:
        compiled: (name, bytes of shared memory) of every kernel, once for each way it is compiled.
        launches: how many there would have been.

    """

    def __init__(self, card: Card) -> None:
        """Take a card's place, before anything has imported the kernels."""
        import triton

        self.compiled: list[tuple[str, int]] = []
        self.launches = 0
        self._card = card
        # As much as anybody wants: whoever reads ``compiled`` judges, and sees all of it.
        self.utils = types.SimpleNamespace(
            get_device_properties=lambda device: {'max_shared_mem': 2**31},
            load_binary=lambda *kernel: ('module', 'function', 0, 0, 1024),
        )
        triton.runtime.driver.set_active(self)
        properties = types.SimpleNamespace(
            major=card.capability // 10,
            minor=card.capability % 10,
            shared_memory_per_block_optin=card.shared,
        )
        torch.cuda.is_available = lambda: True
        torch.cuda.device_count = lambda: 1
        torch.cuda.get_device_properties = lambda device=None: properties  # type: ignore
        # Tensors are on 'meta', where nothing takes memory or time.
        torch.Tensor.is_cuda = property(lambda tensor: True)  # type: ignore[assignment]

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """Note what Triton has compiled, and return what launches it."""
        self.compiled.append((name_of(source.fn), metadata.shared))
        return self._launch

    def _launch(self, *arguments: object) -> None:
        self.launches += 1

    def get_current_target(self) -> Any:
        """Return what Triton compiles for."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget('cuda', self._card.capability, 32)

    def get_current_device(self) -> int:
        """Return the only one."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """Return CUDA's default."""
        return 0
