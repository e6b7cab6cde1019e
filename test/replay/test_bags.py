# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topic of a bag is meant."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from streamvlm_ros.cli.bags import image_topic, write_bag
from streamvlm_ros.cli.errors import CommandError


def test_image_topic(tmp_path: pathlib.Path) -> None:
    bag = tmp_path / 'bag'
    write_bag(bag, [np.zeros((2, 2, 3), np.uint8)], [5], '/front/image')
    assert image_topic(bag) == image_topic(bag, '/front/image') == '/front/image'
    with pytest.raises(CommandError, match='has no images on /rear; it has: /front/image'):
        image_topic(bag, '/rear')
    with pytest.raises(CommandError, match='There is no bag at'):
        image_topic(tmp_path / 'none')
