# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Python and its packages, PyTorch's GPU, and the compiler that Triton calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import importlib.metadata
import os
import pathlib
import shutil
import sys
import sysconfig

from packaging.specifiers import SpecifierSet

from streamvlm_ros.doctor.finding import bad, Finding, note, ok
from streamvlm_ros.versions import OPTIONAL, PYTHONS, TESTED, VIDEO

DRIVER = pathlib.Path('/proc/driver/nvidia/version')  # of a machine with NVIDIA's driver


def check_python() -> Iterator[Finding]:
    """Check Python's version."""
    found = '.'.join(map(str, sys.version_info[:3]))
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        yield ok('Python', f'{found} ({sys.executable}).')
        return
    first, last = ('.'.join(map(str, version)) for version in PYTHONS)
    yield bad(
        'Python',
        f'{found} is not from {first} to {last}.',
        'Use one of these, as docs/install.md shows.',
    )


def check_packages() -> Iterator[Finding]:
    """Check the versions of the packages that this one was tested with."""
    yield from _versions({**TESTED, **VIDEO}, required=True)
    yield from _versions(OPTIONAL, required=False)


def check_gpu() -> Iterator[Finding]:
    """Check whether PyTorch can compute on a GPU, if there is one."""
    import torch

    has_driver = DRIVER.exists()
    if not torch.cuda.is_available():
        if not has_driver:
            yield note('GPU', 'There is none; models run on the CPU, large ones too slowly.')
        elif torch.version.cuda is None:
            yield bad(
                'GPU',
                f'There is one, but PyTorch {torch.__version__} is a build for CPUs.',
                'Install the CUDA build: pip install torch with the index of pytorch.org.',
            )
        else:
            yield bad(
                'GPU',
                f'There is one, but PyTorch for CUDA {torch.version.cuda} does not see it.',
                'Look at nvidia-smi: the driver may be too old, or CUDA_VISIBLE_DEVICES hides it.',
            )
        return
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        free, total = torch.cuda.mem_get_info(index)
        text = f'{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free.'
        try:
            torch.ones(8, device=f'cuda:{index}').sum().item()
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            yield bad(
                f'GPU {index}',
                f'{name} computes nothing: {why}.',
                f'Install a PyTorch that is built for it; this one is {torch.__version__}.',
            )
        else:
            yield ok(f'GPU {index}', text)


def check_triton() -> Iterator[Finding]:
    """Check what Triton needs to compile its kernels: a C compiler, and Python's headers."""
    import torch

    if not torch.cuda.is_available():
        yield note('Triton', 'It is not used without a GPU.')
        return
    compiler = os.environ.get('CC') or next(filter(None, map(shutil.which, ('gcc', 'clang'))), '')
    if not compiler or shutil.which(compiler) is None:
        yield bad(
            'Triton',
            'There is no C compiler for its kernels.',
            'Install one (apt install gcc), or name one by the variable CC.',
        )
        return
    header = pathlib.Path(sysconfig.get_path('include')) / 'Python.h'
    if not header.is_file():
        yield bad(
            'Triton',
            f"Python's headers are missing ({header}).",
            'Install them (apt install python3-dev).',
        )
        return
    try:
        version = importlib.metadata.version('triton')
    except importlib.metadata.PackageNotFoundError:
        yield bad('Triton', 'It is not installed.', 'Install PyTorch anew; it brings its Triton.')
    else:
        yield ok('Triton', f'{version}, compiles with {compiler}.')


def _versions(ranges: Mapping[str, SpecifierSet], *, required: bool) -> Iterator[Finding]:
    for package, tested in ranges.items():
        remedy = f'pip install "{package}{tested}"'
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            if required:
                yield bad(package, 'It is not installed.', f'{remedy}.')
            else:
                yield note(package, 'It is not installed.', f'For quantization: {remedy}.')
            continue
        if tested.contains(found, prereleases=True):
            yield ok(package, f'{found} (tested: {tested}).')
        else:
            yield bad(package, f'{found} was not tested ({tested}).', f'{remedy}.')
