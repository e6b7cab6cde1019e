# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps warnings away that a user can do nothing about; to be imported before transformers.

transformers imports torchao, which says which of its extensions are for other machines, and about
which PyTorch says how it registers its enums.
"""

from __future__ import annotations

import logging

for _name in ('torchao', 'torch.utils._pytree'):
    logging.getLogger(_name).setLevel(logging.ERROR)
