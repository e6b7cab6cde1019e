# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import gc
import os

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.ops.quantization import weight_bytes

# accelerate's word: whole layers are spread over all GPUs, about as many bytes on each.
BALANCED = 'balanced'
# The words for which accelerate decides what goes where.
SPREAD = ('auto', BALANCED, 'balanced_low_0', 'sequential')

Device = str | int | torch.device
DeviceMap = Mapping[str, Device]


def check_placement(name: str) -> None:
    """Refuse a device that a model cannot be loaded to, or ``BALANCED`` where there is no GPU.

    Raises:
        StreamError: INVALID_REQUEST, as ``check_device``.

    """
    if name != BALANCED:
        check_device(name)
    elif not torch.cuda.device_count():
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The device {BALANCED} spreads the model over all GPUs, but PyTorch '
            'sees none; use cpu, or install a CUDA build of PyTorch and the driver.',
        )


def check_device(name: str) -> torch.device:
    """Return a device that exists.

    Raises:
        StreamError: INVALID_REQUEST for a name that PyTorch does not know, or a GPU it does not
            see.

    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise StreamError(
            ErrorCode.INVALID_REQUEST, f'The device must be cpu, cuda or cuda:N, not {name!r}.'
        ) from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The device {name} was asked for, but PyTorch sees '
            f'{torch.cuda.device_count()} GPUs; use cpu, or install a CUDA build '
            'of PyTorch and the driver.',
        )
    return device


def place_modules(
    path: str | os.PathLike[str],
    model: torch.nn.Module,
    wanted: Device | DeviceMap | None,
    dtype: torch.dtype,
    whole: Sequence[str],
) -> dict[str, torch.device]:
    """Return where the modules of a model go before its weights are there.

    Args:
        path: of the model, for sentences.
        model: on the meta device.
        wanted: a device for all of it, one of ``SPREAD``, or devices by the names of modules;
            None: PyTorch's default device.
        dtype: that its weights will have.
        whole: names of classes whose modules are not parted.

    Returns:
        Devices by the names of modules; '' is the whole model.

    Raises:
        ValueError: the devices have no room for it.
        StreamError: as ``check_device``.

    """
    if wanted is None:
        return {'': torch.get_default_device()}
    if isinstance(wanted, str) and wanted in SPREAD:
        wanted = _spread(model, wanted, dtype, list(whole))
    if not isinstance(wanted, Mapping):
        return {'': _device(wanted)}
    names = {str(device) for device in wanted.values()}
    if names & {'disk', 'meta'} or (len(names) > 1 and 'cpu' in names):
        left = sum(str(device) in ('cpu', 'disk', 'meta') for device in wanted.values())
        raise ValueError(
            f'{path} does not fit the devices: there is no room for {left} of its '
            f'{len(wanted)} parts; use more or larger GPUs, or a smaller model.'
        )
    return {name: _device(device) for name, device in wanted.items()}


def device_in(places: Mapping[str, torch.device], name: str) -> torch.device:
    """Return where a parameter goes: to the device of the module nearest to it.

    Raises:
        ValueError: no module that it is in has a device.

    """
    module = name
    while module not in places:
        if not module:
            raise ValueError(f'The device_map has no device for {name}; add its module.')
        module = module.rpartition('.')[0]
    return places[module]


def _device(wanted: Device) -> torch.device:
    return check_device(f'cuda:{wanted}' if isinstance(wanted, int) else str(wanted))


def _spread(
    model: torch.nn.Module, way: str, dtype: torch.dtype, whole: list[str]
) -> dict[str, int | str | torch.device]:
    try:
        from accelerate.utils import get_balanced_memory, get_max_memory, infer_auto_device_map
    except ImportError:
        raise ImportError(
            f'Spreading a model over devices ({way}) needs accelerate: pip install accelerate.'
        ) from None
    room = (
        get_max_memory()
        if way == 'sequential'
        else get_balanced_memory(
            model,
            dtype=dtype,
            no_split_module_classes=whole,
            low_zero=way == 'balanced_low_0',
        )
    )
    return dict(infer_auto_device_map(model, room, no_split_module_classes=whole, dtype=dtype))


@contextlib.contextmanager
def fitting(weights: int, device: object) -> Iterator[None]:
    """Say what a model of so many bytes takes, if a device has no memory for it.

    Raises:
        StreamError: OUT_OF_MEMORY.

    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'The model takes {weights / 1e9:.2f} GB and does not fit {device}; spread '
            f'it over several GPUs (device {BALANCED}), or take a smaller one.',
        ) from error


def move_model(model: StreamingModel, device: str | None) -> StreamingModel:
    """Move a model to a device; one spread by accelerate stays where it is.

    Raises:
        StreamError: as ``check_device``; OUT_OF_MEMORY for a model that does not fit it.

    """
    if device is None or getattr(model, 'hf_device_map', None):
        return model
    with fitting(weight_bytes(model), device):
        return model.to(check_device(device))


def gpus_of(model: torch.nn.Module) -> list[torch.device]:
    """Return the GPUs that a model is on, the first one first."""
    gpus = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    return sorted(gpus, key=str)


def device_bytes(name: str) -> int | None:
    """Return the memory that this process holds on a GPU, in bytes; None for the CPU.

    For ``BALANCED`` that of all GPUs together.
    """
    if name == BALANCED:
        return sum(map(torch.cuda.memory_reserved, range(torch.cuda.device_count())))
    return torch.cuda.memory_reserved(name) if name.startswith('cuda') else None


def free_device_memory() -> None:
    """Free the memory of models that are not referred to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
