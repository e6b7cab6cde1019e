# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What makes vectors of moments and of questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Embedder(Protocol):
    """Makes vectors whose scalar product tells how well a moment fits a question.

    Attributes:
        fingerprint: of all that a vector depends on besides the frames or the text; an index
            belongs to it.
        dimensions: numbers of a vector.

    """

    @property
    def fingerprint(self) -> str:
        """See ``Embedder``."""

    @property
    def dimensions(self) -> int:
        """See ``Embedder``."""

    def pictures(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Return a moment's vector, float32 [dimensions], from its RGB uint8 [h, w, 3] frames.

        Raises:
            StreamError: INVALID_REQUEST; there is no frame, or one is no picture.

        """

    def question(self, question: str) -> np.ndarray:
        """Return a question's vector, float32 [dimensions].

        Raises:
            StreamError: INVALID_REQUEST; it is no text, empty or too long.

        """
