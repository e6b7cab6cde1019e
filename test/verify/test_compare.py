# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `streamvlm verify` compares, on replies made up here."""

from __future__ import annotations

import dataclasses
import pathlib
import random
from typing import Any

import cv2
import numpy as np
import pytest
from support.models.awq import published_values, random_awq
from support.reference.offline import reference_positions
import torch

from streamvlm_ros.errors import CommandError
from streamvlm_ros.verify.awq import matrix
from streamvlm_ros.verify.clips import generated
from streamvlm_ros.verify.compare import compare_pixels, judge, stock_noise
from streamvlm_ros.verify.exchange import Asked, Cost, Reply, Shown, StockReply, StockSaid
from streamvlm_ros.verify.own_clips import MOST_FRAMES, read_clip
from streamvlm_ros.verify.positions import written_positions
from streamvlm_ros.verify.report import Report

STD = (0.25, 0.25, 0.25)
CASE = Shown(0, 'append', 4)
COST = Cost(1, 2, 3, 4.0, 5.0, None)
LOGITS = np.linspace(-4.0, 8.0, 20, dtype=np.float32)


def stock_reply(**changes: Any) -> StockReply:
    """Return a reply of two tokens, the second of which is preferred by 0.001 only."""
    reply = StockReply(
        prompt_tokens=9,
        tokens=[19, 3],
        logits=LOGITS,
        choices=[0.5, 0.3, 0.2],
        best=[([19, 18], [8.0, 7.0]), ([3, 4, 5], [2.0, 1.999, -1.0])],
        pieces=LOGITS + 0.002,
        exact=None,
    )
    return dataclasses.replace(reply, **changes)


def own_reply(**changes: Any) -> Reply:
    """Return the same reply of the engine's side."""
    reply = Reply(9, [19, 3], LOGITS, [0.5, 0.3, 0.2])
    return dataclasses.replace(reply, **changes)


def report(stock: StockReply, ours: Reply, off: float = 0.0) -> Report:
    """Return the report of one case and one clip whose pixels are `off` by so many levels."""
    noise = stock_noise([stock])
    patches = np.zeros((4, 6), np.float32)
    return Report(
        'some/model',
        'cpu',
        'bfloat16',
        'none',
        'versions',
        'written out',
        'torchvision is not installed',
        1.05,
        ['num_beams 4'],
        noise,
        [compare_pixels('a clip', patches, patches + off / (255 * STD[0]), STD)],
        [judge(CASE, 'a clip', stock, ours, noise.allowed)],
        COST,
        COST,
    )


def test_values_of_awq_are_the_published_formulas() -> None:
    tensors = random_awq(24, 256, 128)
    assert torch.equal(matrix(**tensors), published_values(tensors, torch.float32))


def test_positions_are_those_of_the_tests_reference() -> None:
    """Two that know nothing of each other, and nothing of the engine."""
    rng = random.Random(3)
    for _ in range(60):
        ids: list[int] = [1] * rng.randint(1, 5)
        videos = []
        for _ in range(rng.randint(0, 3)):
            times = np.cumsum(rng.choices((125_000_000, 500_000_000, 1_733_000_001), k=3))
            grid = len(times), rng.randint(1, 4), rng.randint(1, 4)
            videos.append((grid, [int(each) for each in times]))
            ids += [7] * (grid[0] * grid[1] * grid[2]) + [1] * rng.randint(1, 3)
        rate = rng.choice((1, 2, 25))
        expected = reference_positions(
            ids, [(grid, [t / 1e9 for t in times]) for grid, times in videos], 7, rate
        )
        assert written_positions(ids, videos, 7, rate) == expected.tolist()


def test_equal_replies_are_lossless() -> None:
    found = report(stock_reply(), own_reply())
    assert found.lossless and not found.differences
    assert 'some/model streams losslessly: all 1 answers' in found.sentence
    assert found.lines()[-1] == found.sentence
    assert any('num_beams 4 too, which neither' in line for line in found.lines())
    assert any('torchvision is not installed' in line for line in found.lines())
    assert found.as_json()['lossless'] is True


@pytest.mark.parametrize(
    ('ours', 'off', 'what'),
    [
        (own_reply(tokens=[18, 3]), 0.0, '1 of 1 answers'),
        (own_reply(tokens=[19]), 0.0, '1 of 1 answers'),
        (own_reply(tokens=[19, 17]), 0.0, '1 of 1 answers'),
        (own_reply(prompt_tokens=10), 0.0, 'the prompts of 1 of 1 streams'),
        (own_reply(logits=LOGITS + 0.1), 0.0, 'the first logits of 1 of 1 streams'),
        (own_reply(logits=LOGITS * np.nan), 0.0, 'the first logits of 1 of 1 streams'),
        (own_reply(choices=[0.3, 0.5, 0.2]), 0.0, 'the order of choices in 1 of 1 streams'),
        (own_reply(), 1.0, 'the pixels of 1 of 1 clips'),
    ],
)
def test_what_differs_is_named(ours: Any, off: float, what: str) -> None:
    found = report(stock_reply(), ours, off)
    assert not found.lossless
    assert found.differences == [what]
    assert found.sentence == f'some/model differs from stock transformers: {what}.'


def test_parting_where_rounding_decides_is_told_and_is_no_difference() -> None:
    found = report(stock_reply(), own_reply(tokens=[19, 4]))
    assert found.lossless
    assert found.cases[0].tokens == 'tie' and found.cases[0].parted == 1
    assert found.cases[0].margin == pytest.approx(0.001)
    assert '0 of 1 answers are those of stock transformers' in found.sentence
    assert 'its own rounding in bfloat16' in found.sentence


def test_choices_as_near_as_rounding_may_change_places() -> None:
    close = [0.4001, 0.4, 0.1999]
    found = report(stock_reply(choices=close), own_reply(choices=[0.4, 0.4001, 0.1999]))
    assert found.lossless and found.cases[0].choices == 'tie'


def test_float32_is_part_of_the_noise() -> None:
    assert not any('float32' in line for line in report(stock_reply(), own_reply()).lines())
    lines = report(stock_reply(exact=LOGITS + 0.05), own_reply()).lines()
    assert "The streamed ones are at most 0.05 apart from float32's." in lines
    plain, wide = stock_noise([stock_reply()]), stock_noise([stock_reply(exact=LOGITS + 0.05)])
    assert plain.exact is None and plain.allowed == pytest.approx(0.006, rel=1e-3)
    assert wide.exact == pytest.approx(0.05, rel=1e-3)
    assert wide.allowed == pytest.approx(0.15, rel=1e-3)


def test_clips_of_other_sizes_differ() -> None:
    found = compare_pixels('a clip', np.zeros((4, 6)), np.zeros((8, 6)), STD)
    assert not found.equal and found.levels is None


def test_a_prompt_of_chunks_has_every_frame_once() -> None:
    assert CASE.videos(15) == [range(4), range(4, 8), range(8, 12), range(12, 15)]
    assert Shown(0, 'continuous', 4).videos(15) == [range(15)]


def test_the_processes_exchange_what_they_say(tmp_path: pathlib.Path) -> None:
    clips = generated(quick=True)
    names = [(clip.name, clip.stamps_ns) for clip in clips]
    asked = Asked(
        'folder', 'cpu', 'float32', 'none', 'kind', True, 16, 1, 2, [0.5], [0.25], names, [CASE],
        'Q?', 'C?', ['a', 'b'], 3,
    )  # fmt: skip
    asked.write(tmp_path, clips)
    again, frames = Asked.read(tmp_path)
    assert again.shown == [CASE] and again.choices == ['a', 'b']
    assert [clip.name for clip in frames] == [clip.name for clip in clips]
    assert all(
        np.array_equal(a, b)
        for one, two in zip(clips, frames)
        for a, b in zip(one.frames, two.frames)
    )
    replies = [stock_reply(), stock_reply(exact=LOGITS + 1)]
    said = StockSaid('stock', '', 'v', 1.05, replies, [np.ones((2, 3))], [(1, 2, 1)], COST)
    said.write(tmp_path)
    found = StockSaid.read(tmp_path)
    assert found.replies[0].exact is None and found.cost == COST and found.grids == [(1, 2, 1)]
    assert np.array_equal(found.replies[1].exact, LOGITS + 1)
    assert list(map(list, found.replies[0].best[0])) == [[19, 18], [8.0, 7.0]]


def test_clips_have_an_odd_one_and_stamps_that_rise() -> None:
    clips = generated()
    assert {len(clip.frames) % 2 for clip in clips} == {0, 1}
    for clip in clips:
        assert len(clip.frames) == len(clip.stamps_ns)
        assert (np.diff(clip.stamps_ns) > 0).all()
        assert len({each - clip.stamps_ns[0] for each in clip.stamps_ns}) == len(clip.frames)
        assert all(frame.dtype == np.uint8 and frame.ndim == 3 for frame in clip.frames)


def write_video(file: pathlib.Path, frames: int, rate: float) -> None:
    """Write frames that become brighter."""
    video = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*'MJPG'), rate, (64, 48))
    for number in range(frames):
        video.write(np.full((48, 64, 3), 4 * number, np.uint8))
    video.release()


def test_own_clips_are_read_two_frames_a_second(tmp_path: pathlib.Path) -> None:
    write_video(tmp_path / 'own.avi', 50, 10.0)
    clip = read_clip(tmp_path / 'own.avi')
    assert clip.stamps_ns == [500_000_000 * i for i in range(10)]
    assert [round(frame.mean() / 4) for frame in clip.frames] == list(range(0, 50, 5))
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    for number in range(MOST_FRAMES + 5):
        image = np.zeros((20, 30, 3), np.uint8)
        image[..., 0] = number  # OpenCV writes blue first
        cv2.imwrite(str(pictures / f'{number:03}.png'), image)
    clip = read_clip(pictures)
    assert [int(frame[0, 0, 2]) for frame in clip.frames] == list(range(MOST_FRAMES))


def test_what_is_no_clip_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'empty').mkdir()
    for name, sentence in (
        ('none.mp4', 'does not exist'),
        ('text.mp4', 'cannot be read as a video'),
        ('empty', 'has no pictures'),
    ):
        with pytest.raises(CommandError, match=sentence):
            read_clip(tmp_path / name)
    for number, side in enumerate((20, 30)):
        cv2.imwrite(str(tmp_path / 'empty' / f'{number}.png'), np.zeros((side, 30, 3), np.uint8))
    with pytest.raises(CommandError, match='frames of 2 sizes'):
        read_clip(tmp_path / 'empty')
