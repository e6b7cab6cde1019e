# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The versions that the engine was tested with, checked before transformers is imported."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import logging

from streamvlm_ros.versions import check_versions


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


check_versions()
