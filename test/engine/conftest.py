# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small models need one thread, and leave the other core to the tests beside them."""

import torch

torch.set_num_threads(1)
