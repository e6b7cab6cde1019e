# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL
from training.batches import collate
from training.build import build
from training.data import ClipSpec, Packer
from training.layout import IGNORED
from training.network import packed_mask, patchify, run_model


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('model')
    build(path, 'small')
    return path


@pytest.fixture(scope='module')
def packer(folder: pathlib.Path) -> Packer:
    return Packer(folder)


@pytest.mark.parametrize('text', ['red ball', "I can't tell.", 'Zürich 🤖\n1 2'])
def test_any_text_survives_the_tokenizer(folder: pathlib.Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_patches_are_cut_as_the_engine_cuts_them() -> None:
    settings = dataclasses.replace(QWEN2_5_VL.pixels, max_pixels=16 * 784)
    frames = np.random.default_rng(0).integers(0, 256, (4, 84, 112, 3), np.uint8)
    expected, _ = to_patches(list(frames), settings, torch.device('cpu'))
    assert torch.equal(patchify(torch.from_numpy(frames), settings), expected)


@pytest.mark.parametrize('append', [False, True])
def test_a_branch_sees_the_trunk_before_it_and_itself_only(packer: Packer, append: bool) -> None:
    spec = ClipSpec(3, 12, 2.0, (4, 3), append, 4, 6)
    clip = packer.pack(spec)
    batch = collate([clip], spec.grid)
    mask = packed_mask(batch)[0, 0].numpy()
    trunk = int((clip.owner == 0).sum())
    for branch in range(1, clip.owner.max() + 1):
        index = np.flatnonzero(clip.owner == branch)
        seen = np.flatnonzero(mask[index[-1]])
        came = np.flatnonzero((clip.owner == 0) & (clip.when <= clip.when[index[0]]))
        assert 0 < len(came) < trunk or clip.when[index[0]] == clip.when[:trunk].max()
        assert set(seen) == set(came) | set(index)
    assert np.array_equal(mask[:trunk, :trunk], np.tril(np.ones((trunk, trunk), bool)))


def test_a_packed_answer_equals_the_question_asked_alone(
    packer: Packer, folder: pathlib.Path
) -> None:
    """The oracle is the stock text model on one plain causal sequence."""
    spec = ClipSpec(3, 8, 2.0, (4, 3), False, 4, 4)
    clip = packer.pack(spec)
    batch = collate([clip], spec.grid)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        outputs = run_model(model, batch, QWEN2_5_VL.pixels)
        packed, video = outputs.hidden, outputs.video
        keep = (clip.owner == 2) | (
            (clip.owner == 0) & (clip.when <= clip.when[clip.owner == 2][0])
        )
        # A batch is padded behind its clips.
        keep = np.pad(keep, (0, batch.ids.shape[1] - len(keep)))
        ids = batch.ids[:, keep]
        embeddings = model.model.language_model.embed_tokens(ids)
        pads = ids == model.config.video_token_id
        embeddings[pads] = video[: int(pads.sum())]
        alone = model.model.language_model(
            inputs_embeds=embeddings, position_ids=batch.positions[:, :, keep]
        ).last_hidden_state
    torch.testing.assert_close(packed[:, keep], alone, rtol=1e-4, atol=1e-4)


def test_only_answers_are_learnt(packer: Packer) -> None:
    clip = packer.pack(ClipSpec(3, 8, 2.0, (4, 3), False, 4, 6))
    for branch in clip.branches:
        ((first, end),) = branch.spans
        answer = [*packer.encode(branch.question.answer), packer.prompt.turn_end[0]]
        assert clip.labels[first:end].tolist() == answer
    labelled = sum(end - first for b in clip.branches for first, end in b.spans)
    assert int((clip.labels != IGNORED).sum()) == labelled
