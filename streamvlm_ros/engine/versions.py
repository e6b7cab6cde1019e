# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The range of versions that the engine was tested with, checked on import."""

from __future__ import annotations

import importlib.metadata

from packaging.specifiers import SpecifierSet

# transformers renames the modules that hold the weights, and rewrites its loading, often.
TESTED = {'torch': SpecifierSet('>=2.11,<2.14'), 'transformers': SpecifierSet('>=5.17,<5.24')}


def check_versions() -> None:
    """Raise ImportError with what to install when a version is out of range."""
    for package, tested in TESTED.items():
        found = importlib.metadata.version(package)
        if not tested.contains(found, prereleases=True):
            raise ImportError(f'{package} {found} is installed; streamvlm_ros was tested with '
                              f'{tested}: pip install "{package}{tested}".')


check_versions()
