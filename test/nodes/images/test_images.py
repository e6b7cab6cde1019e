# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages become exactly the pixels they mean, or one sentence."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
import re
import sys
import types
from typing import Any, ClassVar

import numpy as np
import pytest
from support.nodes import image_vectors
from support.nodes.image_vectors import RawImage

from streamvlm_ros.nodes.images import images
from streamvlm_ros.nodes.images.cv_bridge_back_end import bridge_for
from streamvlm_ros.nodes.images.encodings import ENCODINGS, LAYOUTS

ROOT = pathlib.Path(__file__).parents[3]
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
def test_decoder_of_this_machine(message: RawImage, pixels: list[list[list[int]]]) -> None:
    """Through cv_bridge, where a distribution provides one, and the own decoder elsewhere."""
    message_type = pytest.importorskip('sensor_msgs.msg', reason='ROS is not here').Image
    frame = images.decode_image(message_type(**dataclasses.asdict(message)))
    np.testing.assert_array_equal(frame, np.array(pixels, np.uint8))


class RightBridge:
    """Converts as cv_bridge does, and shares the message's memory where nothing changes."""

    used: ClassVar[list[str]] = []

    def imgmsg_to_cv2(self, message: Any, wanted: str) -> np.ndarray:
        assert wanted == 'rgb8'
        self.used.append(message.encoding)
        return images.decode_without_cv_bridge(message)


class WithoutYuv(RightBridge):
    """Humble's knows fewer encodings."""

    def imgmsg_to_cv2(self, message: Any, wanted: str) -> np.ndarray:
        if message.encoding.startswith('yuv'):
            raise RuntimeError('Unrecognized image encoding')
        return super().imgmsg_to_cv2(message, wanted)


class IgnoresStep(RightBridge):
    """PyPI's misreads padded rows."""

    def imgmsg_to_cv2(self, message: Any, wanted: str) -> np.ndarray:
        pixels = super().imgmsg_to_cv2(message, wanted)
        return np.roll(pixels, 1)


class IgnoresByteOrder(RightBridge):
    """Reads what is big endian as if it were not."""

    def imgmsg_to_cv2(self, message: Any, wanted: str) -> np.ndarray:
        message = copy.deepcopy(message)
        message.is_bigendian = 0
        return super().imgmsg_to_cv2(message, wanted)


BRIDGED = {name for name, layout in LAYOUTS.items() if layout.cv_bridge}
DEEP = {name for name in BRIDGED if name.endswith('16')}
YUV = {name for name in BRIDGED if name.startswith('yuv')}


@pytest.mark.parametrize(
    ('bridge', 'trusted'),
    [
        (RightBridge, BRIDGED),
        (WithoutYuv, BRIDGED - YUV),
        (IgnoresStep, set()),
        (IgnoresByteOrder, BRIDGED - DEEP),
        (None, set()),
    ],
)
def test_which_back_end(
    monkeypatch: pytest.MonkeyPatch, bridge: type[RightBridge] | None, trusted: set[str]
) -> None:
    """An encoding goes to cv_bridge where that converts it rightly; the pixels are the same."""
    pytest.importorskip('sensor_msgs.msg', reason='ROS is not here')
    module = None if bridge is None else types.SimpleNamespace(CvBridge=bridge)
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    bridge_for.cache_clear()
    monkeypatch.setattr(RightBridge, 'used', [])
    for message, _ in [v[1:] for v in image_vectors.VECTORS]:
        bridge_for(message.encoding, images.decode_without_cv_bridge)
    RightBridge.used.clear()
    for _, message, pixels in image_vectors.VECTORS:
        frame = images.decode_image(message)
        np.testing.assert_array_equal(frame, np.array(pixels, np.uint8))
    assert set(RightBridge.used) == trusted
    bridge_for.cache_clear()


@pytest.mark.parametrize(
    ('message', 'grey'),
    [v[1:] for v in image_vectors.DEPTH_VECTORS],
    ids=[v[0] for v in image_vectors.DEPTH_VECTORS],
)
def test_depth_that_is_asked_for(message: RawImage, grey: list[list[int]]) -> None:
    frame = images.decode_image(message, depth_range=image_vectors.DEPTH_RANGE)
    np.testing.assert_array_equal(frame, np.repeat(np.array(grey, np.uint8)[..., None], 3, axis=2))
    with pytest.raises(images.ImageError, match='or set depth_range to see depth as grey'):
        images.decode_image(message)


def test_every_encoding_has_a_vector() -> None:
    vectors = [*image_vectors.VECTORS, *image_vectors.DEPTH_VECTORS]
    assert {vector[1].encoding for vector in vectors} == set(ENCODINGS)


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
        (RawImage(1, 1, '32FC1', 4, np.float32(0.5).tobytes()), "'32FC1' holds depth in metres"),
        (RawImage(1, 1, '32FC3', 12, 3 * NAN), 'has NaN or infinite values'),
        (RawImage(1, 1, '32FC3', 12, np.float32([0, 0, 2.5]).tobytes()), 'values from 0 to 2.5'),
        (RawImage(1, 1, '32FC3', 12, np.float32([0, 0, -1]).tobytes()), 'values from -1 to 0'),
    ],
)
def test_refused_with_a_sentence(message: RawImage, sentence: str) -> None:
    with pytest.raises(images.ImageError, match=sentence) as refused:
        images.decode_image(message)
    text = str(refused.value)
    assert text.endswith('.')
    assert '\n' not in text
