# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model's tensors: read from the files of a folder, and written to a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
import itertools
import json
import logging
import os
import pathlib
import re

from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch

from streamvlm_ros.engine.models.folder.weight_files import INDEX, SINGLE, StoredTensor

SHARD = 'model-{:05d}-of-{:05d}.safetensors'
SHARD_BYTES = 5 * 10**9  # of a file that is written, unless one tensor has more

_log = logging.getLogger(__name__)


def by_parameter(
    stored: Iterable[StoredTensor], parameter_name: Callable[[str], str]
) -> dict[str, StoredTensor]:
    """Return where each parameter is.

    Args:
        stored: the tensors of a folder.
        parameter_name: returns the model's own name of a tensor with a published name.

    Raises:
        ValueError: two tensors are the same parameter.

    """
    found: dict[str, StoredTensor] = {}
    for each in stored:
        name = parameter_name(each.name)
        if name in found:
            raise ValueError(
                f'{each.file} holds {each.name}, and {found[name].file} holds {found[name].name}; '
                f'both are the weights {name}, so it is not clear which are the right ones.'
            )
        found[name] = each
    return found


def read_tensors(
    path: str | os.PathLike[str],
    model: torch.nn.Module,
    stored: Mapping[str, StoredTensor],
    dtype: torch.dtype,
    device_of: Callable[[str], torch.device],
) -> None:
    """Replace the parameters of a model by those in files, one after another.

    Beside them the host holds one file mapped, and no second copy.  On the host, in the files' own
    dtype, they are the mapped file itself: a model that is larger than the host's memory can be
    quantized on its way to a device.

    Args:
        path: of the model, for sentences.
        model: may be on the meta device, so that no memory is taken twice.
        stored: where its parameters are, by their names.
        dtype: of the parameters, whatever the files have.
        device_of: returns the device of a parameter.

    Raises:
        ValueError: parameters are missing, of other shapes, or no floating-point numbers; a file
            has changed since it was checked.
        OutOfMemoryError: of PyTorch, if they do not fit a device.

    """
    wanted = {name: tuple(each.shape) for name, each in model.named_parameters()}
    wrong = [
        name for name in sorted(wanted) if name not in stored or stored[name].shape != wanted[name]
    ]
    if wrong:
        raise ValueError(
            f'The weights in {path} are of another architecture: {len(wrong)} '
            f'tensors are missing or of another shape, {wrong[0]} among them.'
        )
    unknown = sorted(stored[name].name for name in stored.keys() - wanted.keys())
    if unknown:
        _log.warning(
            'The weights in %s have %d tensors that the model does not use, %s among them.',
            path,
            len(unknown),
            unknown[0],
        )
    # Not inference tensors, even if called in inference mode: they outlive it.
    with torch.inference_mode(False):
        for name, tensor in opened({name: stored[name] for name in stored if name in wanted}):
            if not tensor.is_floating_point():
                raise ValueError(
                    f'{stored[name].file}: {stored[name].name} holds {tensor.dtype} numbers; '
                    'weights are floating-point numbers.'
                )
            owner, _, leaf = name.rpartition('.')
            placed = tensor.to(device_of(name), dtype)
            setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(placed))


def choose_dtype(
    wanted: torch.dtype | str | None,
    configured: torch.dtype | None,
    stored: Mapping[str, StoredTensor],
) -> torch.dtype:
    """Return the dtype that weights get.

    Args:
        wanted: by the caller, or its name; None or 'auto': ``configured``.
        configured: by the model; None: the first that its files have.
        stored: its tensors.

    Raises:
        ValueError: it is none of floating-point numbers.

    """
    if wanted is None or wanted == 'auto':
        wanted = configured
    if wanted is None:
        dtypes = (each.dtype for _, each in opened(stored) if each.is_floating_point())
        wanted = next(dtypes, None)
    found = getattr(torch, wanted, None) if isinstance(wanted, str) else wanted
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f'dtype is {wanted!r}; it must be float32, bfloat16 or float16.')
    return found


def write_tensors(
    folder: pathlib.Path, tensors: Mapping[str, torch.Tensor], most_bytes: int = SHARD_BYTES
) -> None:
    """Write tensors as transformers reads them: one file, or several and their index.

    Files of weights that were there before go.

    Args:
        folder: which exists.
        tensors: by the names that they get.
        most_bytes: of a file; the host needs so much to write it.

    """
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > most_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    files = (
        [SINGLE]
        if len(shards) == 1
        else [SHARD.format(number + 1, len(shards)) for number in range(len(shards))]
    )
    for old in folder.iterdir():
        if old.name in (SINGLE, INDEX) or re.fullmatch(SHARD.replace('{:05d}', r'\d+'), old.name):
            old.unlink()
    for file, names in zip(files, shards, strict=True):
        save_file({name: _alone(tensors[name]) for name in names}, folder / file, {'format': 'pt'})
    if len(shards) > 1:
        index = {
            'metadata': {'total_size': sum(tensor.nbytes for tensor in tensors.values())},
            'weight_map': {name: file for file, names in zip(files, shards) for name in names},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + '\n', encoding='utf-8')


def opened(stored: Mapping[str, StoredTensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors by their parameters' names; they are mapped files."""
    for file, names in itertools.groupby(stored, lambda name: stored[name].file):
        try:
            with safe_open(file, framework='pt') as opened:
                for name in names:
                    yield name, opened.get_tensor(stored[name].name)
        except SafetensorError as error:
            raise ValueError(f'{file} has changed while it was read ({error}).') from error


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the host that shares its memory with no other one."""
    own = tensor.detach().cpu().contiguous()
    return own if own.untyped_storage().nbytes() == own.nbytes else own.clone()
