# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The versions of other packages that this one was tested with; the one place of these ranges."""

from __future__ import annotations

from collections.abc import Mapping
import importlib.metadata

from packaging.specifiers import SpecifierSet

PYTHONS = (3, 10), (3, 13)  # first and last
# transformers reads configurations and tokenizers here, and changes both between releases. The
# names of the weights are those of its 5.x, and the tests hold the engine to its classes.
TESTED = {'torch': SpecifierSet('>=2.11,<2.14'), 'transformers': SpecifierSet('>=5.17,<5.24')}
OPTIONAL = {'torchao': SpecifierSet('>=0.18,<0.19')}
VIDEO = {'av': SpecifierSet('>=16,<19')}  # PyAV; 16 tells by its frames how they are turned


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
