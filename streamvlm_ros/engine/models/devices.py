# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the model runs."""

from __future__ import annotations

import gc

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.ops.quantization import weight_bytes

# accelerate's word: whole layers are spread over all GPUs, about as many bytes on each.
BALANCED = 'balanced'


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


def move_model(model: StreamingModel, device: str | None) -> StreamingModel:
    """Move a model to a device; one spread by accelerate stays where it is.

    Raises:
        StreamError: as ``check_device``; OUT_OF_MEMORY for a model that does not fit it.

    """
    if device is None or getattr(model, 'hf_device_map', None):
        return model
    try:
        return model.to(check_device(device))
    except torch.OutOfMemoryError as error:
        gigabytes = weight_bytes(model) / 1e9
        raise StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'The model takes {gigabytes:.2f} GB and does not fit {device}; spread '
            f'it over several GPUs (device {BALANCED}), or take a smaller one.',
        ) from error


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
