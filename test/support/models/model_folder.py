# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a random Qwen2.5-VL as a model folder, for nodes that load it from disk."""

from __future__ import annotations

import copy
import json
import pathlib
import sys

from support.models import random_models
import torch


def write_model_folder(folder: pathlib.Path, intermediate_size: int = 0) -> pathlib.Path:
    """Write weights, tokenizer, chat template and preprocessing settings.

    Args:
        folder: where to.
        intermediate_size: of the language model's layers, for weights that take room; 0: small.
    """
    # Shared with the engine's tests: what is changed here must not be theirs.
    model = copy.deepcopy(random_models.random_model('grouped'))
    if intermediate_size:
        model.config.text_config.intermediate_size = intermediate_size
        model = type(model)(model.config)
    with torch.no_grad():
        # No token that ends an answer: it goes on until a limit, a cancel or a signal.
        model.lm_head.weight[random_models.CONTROL_ID['<|im_end|>']] = 0.0
    model.save_pretrained(folder)
    processor = random_models.processor()
    processor.tokenizer.save_pretrained(folder)
    (folder / 'chat_template.jinja').write_text(random_models.CHAT_TEMPLATE)
    pixels = random_models.PIXELS
    (folder / 'preprocessor_config.json').write_text(
        json.dumps({'min_pixels': pixels.min_pixels, 'max_pixels': pixels.max_pixels})
    )
    return folder


if __name__ == '__main__':
    print(write_model_folder(pathlib.Path(sys.argv[1])))
