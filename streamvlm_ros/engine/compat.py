# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The versions that the engine was tested with, checked before transformers is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
import importlib.metadata
import logging

from packaging.specifiers import SpecifierSet

# transformers reads configurations and tokenizers here, and changes both between releases. The
# names of the weights are those of its 5.x, and the tests hold the engine to its classes.
TESTED = {'torch': SpecifierSet('>=2.11,<2.14'), 'transformers': SpecifierSet('>=5.17,<5.24')}
OPTIONAL = {'torchao': SpecifierSet('>=0.18,<0.19')}


@contextlib.contextmanager
def quiet_torchao() -> Iterator[None]:
    """Import torchao inside, without its warnings.

    It warns of its extensions for other machines, and PyTorch warns about it.  A user can do
    nothing about either.  The levels of these loggers are afterwards what they were.
    """
    loggers = [logging.getLogger(name) for name in ('torchao', 'torch.utils._pytree')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def check_versions(tested_with: Mapping[str, SpecifierSet] = TESTED) -> None:
    """Raise ImportError with what to install when a version is out of range."""
    for package, tested in tested_with.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise ImportError(
                f'{package} is not installed: pip install "{package}{tested}".'
            ) from None
        if not tested.contains(found, prereleases=True):
            raise ImportError(
                f'{package} {found} is installed; streamvlm_ros was tested with '
                f'{tested}: pip install "{package}{tested}".'
            )


check_versions()
