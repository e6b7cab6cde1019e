# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several devices where there are none: tensors stay on the CPU and are said to be elsewhere.

What mixes tensors of two devices fails as it does on GPUs.  Values are real, so that a model that
is spread can be held to the same model on one device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map

CPU = torch.device('cpu')
# A kind of device for which nothing in the engine is different from the CPU.
FIRST, SECOND = torch.device('xpu:0'), torch.device('xpu:1')


def place(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Say that a tensor is on a device."""
    tensor.said_to_be = device  # type: ignore[attr-defined]
    return tensor


def place_model(model: torch.nn.Module, where: Callable[[str], torch.device]) -> None:
    """Say where a model's parameters and buffers are, by their names."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        place(tensor, where(name))


def device_of(tensor: torch.Tensor) -> torch.device:
    """Return where a tensor is said to be."""
    return getattr(tensor, 'said_to_be', CPU)


class Devices(TorchFunctionMode):
    """Keeps the books on where tensors are, while it is entered."""

    def __enter__(self) -> Devices:
        """Make generators of random numbers on the CPU, for whatever device."""
        on_cpu = torch.Generator
        self._patch = mock.patch.object(torch, 'Generator', lambda device='cpu': on_cpu())
        self._patch.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        self._patch.stop()
        super().__exit__(*error)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:
            return device_of(args[0])
        name = getattr(func, '__name__', '')
        if name in ('to', 'cpu'):
            return self._to(name, func, args, kwargs)
        target = kwargs.pop('device', None)
        if name in ('copy_', '__set__'):  # brings something from elsewhere
            places = {device_of(args[0])}
        elif name in ('__getitem__', '__setitem__'):  # an index may be on the CPU
            index = _places(args[1])
            # Into slices something is copied; what is scattered by an index must be there already.
            places = {device_of(args[0]), *index, *_places(args[2:] if index else ())} - {CPU}
        else:
            places = _places((args, kwargs))
        if len(places) > 1:
            raise RuntimeError(
                f'{name} takes tensors of one device, not of '
                f'{" and ".join(sorted(map(str, places)))}.'
            )
        result = func(*args, **kwargs)
        if name == '__set__':  # parameter.data = ...
            place(args[0], device_of(args[1]))
        where = next(iter(places), CPU) if target is None else torch.device(target)
        return tree_map(
            lambda each: place(each, where) if isinstance(each, torch.Tensor) else each, result
        )

    @staticmethod
    def _to(name: str, func: Any, args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
        tensor, *rest = args
        target = kwargs.pop('device', CPU if name == 'cpu' else None)
        for each in rest:
            if isinstance(each, torch.Tensor):  # that one's dtype and device
                target = device_of(each)
            elif isinstance(each, (str, torch.device)):
                target = torch.device(each)
        rest = [each for each in rest if not isinstance(each, (str, torch.device))]
        here = device_of(tensor)
        target = here if target is None else target
        result = func(tensor, *rest, **kwargs) if rest or kwargs else tensor
        return place(result.clone() if target != here and result is tensor else result, target)


def _places(tree: Any) -> set[torch.device]:
    """Return where the tensors of a tree are; single numbers may be anywhere."""
    return {
        device_of(each) for each in tree_iter(tree) if isinstance(each, torch.Tensor) and each.ndim
    }
