# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The versions that the engine was tested with, checked before transformers is imported."""

from __future__ import annotations

from collections.abc import Mapping
import importlib.metadata
import logging

from packaging.specifiers import SpecifierSet

# transformers renames the modules that hold the weights, and rewrites its loading, often.
TESTED = {'torch': SpecifierSet('>=2.11,<2.14'), 'transformers': SpecifierSet('>=5.17,<5.24')}
OPTIONAL = {'torchao': SpecifierSet('>=0.18,<0.19')}


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
# transformers imports torchao, which warns of its extensions for other machines, and about which
# PyTorch warns. A user can do nothing about either.
for _name in ('torchao', 'torch.utils._pytree'):
    logging.getLogger(_name).setLevel(logging.ERROR)
