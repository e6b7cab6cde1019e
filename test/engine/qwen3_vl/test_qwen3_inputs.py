# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What Qwen3-VL is given: pixels, the text of times, positions; held to stock and to a table."""

from __future__ import annotations

import math
import types

import pytest
from support.models.random_models import CHAT_TEMPLATE
from support.models.random_qwen3 import processor, write_folder
from support.reference.qwen3 import stock_model, video_text, written_positions
from support.reference.stock_video import QWEN3_VL as STOCK
from support.reference.stock_video import stock_video, video_processor
import torch
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from benchmark.common.pictures import PICTURES
from streamvlm_ros.engine.models.folder.pixel_settings import read_pixel_settings
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.models.qwen3_vl.model import QWEN3_VL
from streamvlm_ros.engine.models.qwen3_vl.positions import (
    interleaved_axes,
    rebase_plan,
    seconds_text,
    StillTime,
)
from streamvlm_ros.engine.positions import Grid, StreamState, VideoSpan

CPU = torch.device('cpu')
PUBLISHED = {'longest_edge': 25165824, 'shortest_edge': 4096}
SIZES = [
    (480, 640, 4),
    (64, 96, 3),
    (720, 1280, 2),
    (1080, 1920, 2),
    (100, 333, 4),
    (20, 30, 4),
    (31, 500, 5),
]


@pytest.mark.parametrize('picture', PICTURES)
@pytest.mark.parametrize('height, width, count', SIZES)
def test_pixels_are_the_stock_video_processors(height, width, count, picture, monkeypatch):
    """To the last bit, in its order, an odd frame completed as there."""
    frames = [PICTURES[picture](height, width, seed) for seed in range(count)]
    mean = {'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
    stock = video_processor(monkeypatch, STOCK, size=PUBLISHED, cap_pixels_per_frame=True, **mean)
    expected, thw = stock_video(stock, frames)
    settings = read_pixel_settings({'size': PUBLISHED, **mean}, 'file', QWEN3_VL.pixels)
    patches, grid = to_patches([*frames, *frames[-1:] * (count % 2)], settings, CPU)
    assert thw == [grid.t, 2 * grid.h, 2 * grid.w]
    assert torch.equal(patches, expected)


def test_the_bounds_of_a_frame():
    """A file has those of a whole video; what the caller says is of a frame."""
    pixels = read_pixel_settings({'size': PUBLISHED}, 'file', QWEN3_VL.pixels)
    assert (pixels.min_pixels, pixels.max_pixels) == (1024, 768 * 1024)
    assert pixels.most_tokens == 768
    small = read_pixel_settings(
        {'size': {'longest_edge': 32768, 'shortest_edge': 4096}}, 'file', QWEN3_VL.pixels
    )
    assert small.max_pixels == 16384
    assert pixels.bounded(0, 448 * 448).resized(1080, 1920) == (320, 576)
    assert pixels.resized(448, 448) == (448, 448)


def test_a_folder_in_the_published_layout(tmp_path):
    """The video processor's file counts, not the image processor's."""
    loaded = load_processor(write_folder(tmp_path))
    assert loaded.pixels == processor().pixels
    assert loaded.chat_template == CHAT_TEMPLATE


@pytest.mark.parametrize('rate', [1, 2, 3, 4, 5, 10, 30, 1000])
def test_the_text_of_times_is_stocks(rate):
    """Where a mean is half-way between two numbers, too: 10 frames a second always are."""
    stock = object.__new__(Qwen3VLProcessor)
    indices = list(range(400)) + [401, 517, 90_001]
    expected = stock._calculate_timestamps(list(indices), rate)
    indices += indices[-1:]  # an odd last one is repeated
    times = [round(index * 10**9 / rate) for index in indices]
    for index, wanted in enumerate(expected):
        pair = times[2 * index : 2 * index + 2]
        assert seconds_text(pair) == f'<{wanted:.1f} seconds>'


def test_a_patchs_text_and_marks():
    """Every patch is a segment of its own after its time, in either place; the room suffices."""
    prompt = Prompt(processor(), QWEN3_VL, '', ())
    encode = processor().tokenizer.encode
    before = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
    assert prompt.open_segment(Place.NOTHING, (0, 5 * 10**8)) == encode(
        f'{before}<0.2 seconds><|vision_start|>'
    )
    assert prompt.open_segment(Place.USER_TURN, (2 * 10**9,)) == encode(
        '<2.0 seconds><|vision_start|>'
    )
    assert prompt.open_segment(Place.TURN_END, (7 * 10**9, 8 * 10**9)) == encode(
        '<|im_start|>user\n<7.5 seconds><|vision_start|>'
    )
    assert prompt.close_segment() == encode('<|vision_end|>')
    longest = prompt.open_segment(Place.USER_TURN, ((2**63 - 1), (2**63 - 1)))
    assert len(longest) == prompt.opening_tokens[1]


# docs/design/positions.md has this table.  A prefix of 4 tokens, texts of 3, grids of tokens.
PAD, TEXT = 9, 1
TABLE = [
    # Patches (rows, columns); the origins of their tokens on T, H and W; the next text token.
    ([(2, 2)], [8], 11),
    ([(2, 2), (2, 2)], [8, 15], 18),
    ([(1, 5)], [8], 14),
    ([(4, 1), (1, 1)], [8, 17], 19),
    ([(3, 4), (3, 4), (3, 4)], [8, 17, 26], 31),
]


@pytest.mark.parametrize('grids, origins, following', TABLE)
def test_positions_table(grids, origins, following):
    """The worked examples: whole and patch by patch, as written out, and as stock has them."""
    rule = PositionRule(PAD, StillTime(), rebase_plan)
    piece = [[*[TEXT] * 4, *[PAD] * math.prod(grid), TEXT] for grid in grids]  # time, mark | mark
    ids = [TEXT] * 4 + [each for one in piece for each in one]
    spans = [VideoSpan(Grid(1, *grid), (index,)) for index, grid in enumerate(grids)]
    whole, state = rule.place(StreamState(), ids, spans)
    assert whole.tolist() == written_positions(ids, grids, PAD).tolist()
    assert rule.place(state, [TEXT])[0].tolist() == [[following]] * 3
    pads = torch.tensor(ids) == PAD
    blocks = whole[:, pads].split([math.prod(grid) for grid in grids], dim=1)
    assert [block.amin(1).tolist() for block in blocks] == [[origin] * 3 for origin in origins]
    assert all(block[0].unique().numel() == 1 for block in blocks)
    placed, state = rule.place(StreamState(), [TEXT] * 4)
    parts = [placed]
    for one, span in zip(piece, spans):
        placed, state = rule.place(state, one, [span])
        parts.append(placed)
    assert torch.equal(torch.cat(parts, dim=1), whole)
    kinds = torch.tensor([[2 if each == PAD else 0 for each in ids]])
    stock, _ = stock_model('grouped').model.get_rope_index(
        torch.tensor([ids]),
        kinds,
        video_grid_thw=torch.tensor([[1, 2 * h, 2 * w] for h, w in grids]),
    )
    assert torch.equal(stock[:, 0], whole)


def test_axes_take_turns():
    """As stock overwrites T's frequencies by H's and W's."""
    assert interleaved_axes([24, 20, 20], 64).tolist() == 20 * [0, 1, 2] + 4 * [0]
    assert interleaved_axes([2, 1, 1], 4).tolist() == [0, 1, 2, 0]
    rotary = stock_model('one_kv_head').model.language_model.rotary_emb
    half = len(rotary.inv_freq)
    axes = interleaved_axes(rotary.mrope_section, half)
    positions = torch.tensor([[[3]], [[50]], [[700]]])
    cos, _ = rotary(torch.zeros(1), positions)
    expected = (positions[:, 0, 0][axes].float() * rotary.inv_freq).cos()
    assert torch.allclose(cos[0, 0, :half], expected)


def test_a_videos_text_is_stocks():
    """What stands for a video in the prompt, as the processor makes it of frames and a rate."""
    stock = object.__new__(Qwen3VLProcessor)
    stock.video_processor = types.SimpleNamespace(merge_size=2, temporal_patch_size=2)
    stock.video_token = '<|video_pad|>'
    stock.vision_start_token, stock.vision_end_token = '<|vision_start|>', '<|vision_end|>'
    inputs = {
        'video_grid_thw': torch.tensor([[2, 2, 4]]),
        'video_metadata': [types.SimpleNamespace(fps=2, frames_indices=[0, 1, 2])],
    }
    assert video_text([0.0, 0.5, 1.0, 1.0], 2) == stock.replace_video_token(inputs, 0)
