# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The kernels in Triton's interpreter, so that any machine can hold them to their references.

Import this before anything else imports them.  Where there is a GPU they are compiled instead;
benchmark/exactness/gpu.py is for that.
"""

from __future__ import annotations

import pytest
import torch

if torch.cuda.is_available():
    pytest.skip(
        'The kernels are interpreted on machines without a GPU only.', allow_module_level=True
    )
# test/conftest.py has imported it as an interpreter.
triton = pytest.importorskip('triton', reason='Triton is not installed.')
triton.knobs.runtime.interpret = True

from streamvlm_ros.engine.ops.kernels import (  # noqa: E402
    dequantize,
    operations,
    pointwise,
    resize,
)
from streamvlm_ros.engine.ops.kernels.attention import segments  # noqa: E402
from streamvlm_ros.engine.ops.kernels.matmul import rows  # noqa: E402

__all__ = ['dequantize', 'operations', 'pointwise', 'resize', 'rows', 'segments', 'triton']
