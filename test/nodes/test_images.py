# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages become exactly the pixels they mean, or one sentence."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import image_vectors
from image_vectors import RawImage
import numpy as np
import pytest

from streamvlm_ros.nodes.images import images
from streamvlm_ros.nodes.images.encodings import ENCODINGS

ROOT = pathlib.Path(__file__).parents[2]
NAN = np.float32('nan').tobytes()


@pytest.mark.parametrize(
    ('message', 'pixels'),
    [v[1:] for v in image_vectors.VECTORS],
    ids=[v[0] for v in image_vectors.VECTORS],
)
def test_own_decoder(message: RawImage, pixels: list[list[list[int]]]) -> None:
    frame = images.decode_without_cv_bridge(message)
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    np.testing.assert_array_equal(frame, np.array(pixels, np.uint8))


@pytest.mark.parametrize(
    ('message', 'pixels'),
    [v[1:] for v in image_vectors.VECTORS],
    ids=[v[0] for v in image_vectors.VECTORS],
)
def test_cv_bridge(message: RawImage, pixels: list[list[list[int]]]) -> None:
    if images._working_cv_bridge() is None:
        pytest.skip('no working cv_bridge: it comes with a ROS distribution, not with PyPI')
    from sensor_msgs.msg import Image

    frame = images.decode_image(Image(**dataclasses.asdict(message)))
    np.testing.assert_array_equal(frame, np.array(pixels, np.uint8))


def test_every_encoding_has_a_vector() -> None:
    assert {vector[1].encoding for vector in image_vectors.VECTORS} == set(ENCODINGS)


def test_every_encoding_is_in_the_docs() -> None:
    text = (ROOT / 'docs' / 'cameras.md').read_text()
    # The 16-bit mosaics are not spelt out there.
    names = {encoding for encoding in ENCODINGS if not re.fullmatch('bayer_....16', encoding)}
    assert {name for name in names if f'`{name}`' not in text} == set()


def test_frame_does_not_share_memory_with_the_message() -> None:
    data = bytearray([1, 2, 3])
    frame = images.decode_image(RawImage(1, 1, 'rgb8', 3, data))  # type: ignore[arg-type]
    data[:] = b'\xff\xff\xff'
    assert frame.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        (RawImage(1, 1, 'rgb9', 3, bytes(3)), "The encoding 'rgb9' is unknown"),
        (RawImage(1, 1, '', 3, bytes(3)), "The encoding '' is unknown"),
        (RawImage(2**32 - 1, 2**32 - 1, 'mono8', 0, b''), 'at most 67108864 are taken'),
        (RawImage(8193, 8192, 'mono8', 0, b''), '8193x8192 pixels|8192x8193 pixels'),
        (RawImage(1, 1, '16UC1', 2, bytes(2)), "The encoding '16UC1' holds depth in millimetres"),
        (RawImage(0, 480, 'rgb8', 0, b''), r'The image is empty \(0x480 pixels\)'),
        (RawImage(640, 0, 'rgb8', 1920, b''), r'The image is empty \(640x0 pixels\)'),
        (
            RawImage(2, 2, 'rgb8', 6, bytes(11)),
            'truncated: 11 bytes came, 12 are needed for 2x2 rgb8',
        ),
        (RawImage(2, 2, 'rgb8', 6, b''), 'truncated: 0 bytes came'),
        (RawImage(2, 2, 'nv12', 2, bytes(5)), 'truncated: 5 bytes came, 6 are needed'),
        (RawImage(2, 2, 'nv24', 2, bytes(11)), 'truncated: 11 bytes came, 12 are needed'),
        (
            RawImage(2, 2, 'rgb8', 5, bytes(12)),
            r'step of 5 bytes is shorter than a row of 2 rgb8 pixels \(6 bytes\)',
        ),
        (RawImage(2, 2, 'rgb8', 0, bytes(12)), 'step of 0 bytes'),
        (RawImage(3, 2, 'yuyv', 6, bytes(12)), 'needs even sizes'),
        (RawImage(2, 3, 'nv21', 2, bytes(9)), 'needs even sizes'),
        (RawImage(2, 2, 'bayer_rggb8', 2, bytes(4)), 'too small .* needs at least 3x3'),
        (RawImage(1, 1, '32FC1', 4, NAN), 'has NaN or infinite values'),
        (
            RawImage(1, 1, '32FC1', 4, np.float32(2.5).tobytes()),
            'values from 2.5 to 2.5, .* depth',
        ),
        (RawImage(1, 1, '32FC1', 4, np.float32(-1).tobytes()), 'values from -1 to -1'),
    ],
)
def test_refused_with_a_sentence(message: RawImage, sentence: str) -> None:
    with pytest.raises(images.ImageError, match=sentence) as refused:
        images.decode_image(message)
    text = str(refused.value)
    assert text.endswith('.')
    assert '\n' not in text
