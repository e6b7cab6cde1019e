# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compressed image messages become the pixels they mean, or one sentence."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any
import zlib

import cv2
import numpy as np
import pytest

from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.images import ImageError

RGB = np.random.default_rng(7).integers(0, 256, (6, 5, 3), np.uint8)
RED = np.full((16, 16, 3), [255, 0, 0], np.uint8)


@dataclasses.dataclass
class Compressed:
    """The fields of a sensor_msgs/CompressedImage that decoding reads; needs no ROS."""

    format: str
    data: bytes


def png(samples: Any) -> bytes:
    return cv2.imencode('.png', np.asarray(samples))[1].tobytes()


def jpeg(samples: Any) -> bytes:
    return cv2.imencode('.jpg', np.asarray(samples), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


GREY = np.random.default_rng(8).integers(0, 256, (6, 5), np.uint8)
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
DEEP = RGB.astype(np.uint16) * 257
WITH_ALPHA = np.dstack([RGB[..., ::-1], np.full((6, 5), 9, np.uint8)])


@pytest.mark.parametrize(
    ('form', 'samples', 'expected'),
    [
        ('png', RGB[..., ::-1], RGB),
        ('', RGB[..., ::-1], RGB),
        ('rgb8; png compressed bgr8', RGB[..., ::-1], RGB),
        ('bgr8; png compressed bgr8', RGB[..., ::-1], RGB),
        ('rgb8; png compressed rgb8', RGB, RGB),
        ('bgra8; png compressed bgra8', WITH_ALPHA, RGB),
        ('rgb16; png compressed bgr16', DEEP[..., ::-1], RGB),
        ('mono8; png compressed ', GREY, GREY_RGB),
        ('png', GREY, GREY_RGB),
        ('mono16; png compressed ', GREY.astype(np.uint16) * 257, GREY_RGB),
    ],
)
def test_png_is_exact(form: str, samples: np.ndarray, expected: np.ndarray) -> None:
    frame = decode_compressed(Compressed(form, png(samples)))
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize(
    ('form', 'samples'),
    [
        ('jpeg', RED[..., ::-1]),
        ('jpg', RED[..., ::-1]),
        ('rgb8; jpeg compressed bgr8', RED[..., ::-1]),
        ('bayer_rggb8; jpeg compressed bgr8', RED[..., ::-1]),
        ('rgb8; jpeg compressed rgb8', RED),
    ],
)
def test_jpeg(form: str, samples: np.ndarray) -> None:
    frame = decode_compressed(Compressed(form, jpeg(samples)))
    # The nearest that eight bits of YCbCr come to pure red.
    assert np.abs(frame.astype(int) - RED).max() <= 2


def test_grey_jpeg() -> None:
    frame = decode_compressed(
        Compressed('mono8; jpeg compressed ', jpeg(np.full((8, 8), 90, np.uint8)))
    )
    np.testing.assert_array_equal(frame, np.full((8, 8, 3), 90, np.uint8))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_mosaic_of_a_raw_sensor_becomes_colour(dtype: type) -> None:
    top = np.iinfo(dtype).max
    mosaic = np.tile(np.array([[top, 0], [0, 0]], dtype), (4, 4))
    form = f'bayer_rggb{8 * np.dtype(dtype).itemsize}; png compressed '
    frame = decode_compressed(Compressed(form, png(mosaic)))
    np.testing.assert_array_equal(frame, RED[:8, :8])


@pytest.mark.parametrize(
    'padding',
    [bytes(1000), bytes(4097), bytes(600_000), b'\xff' * 5000, jpeg(GREY)[9:]],
    ids=['zeros', 'a page', 'a fixed buffer', 'erased', 'the frame before'],
)
def test_padding_after_a_jpeg(padding: bytes) -> None:
    """Drivers with buffers of one size leave whatever was in them."""
    data = jpeg(RED[..., ::-1])
    frame = decode_compressed(Compressed('jpeg', data + padding))
    np.testing.assert_array_equal(frame, decode_compressed(Compressed('jpeg', data)))


def scene(height: int, width: int) -> np.ndarray:
    """A picture with something everywhere, RGB."""
    noise = np.random.default_rng(9).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def without(data: bytes, first: float, length: int) -> bytes:
    """A JPEG that has lost bytes of its coded data, from a fraction of it on."""
    begin = data.index(b'\xff\xda') + 14
    at = begin + int(first * (len(data) - begin))
    return data[:at] + data[at + length :]


@pytest.mark.parametrize('restart', [0, 1, 7, 20])
@pytest.mark.parametrize('sampling', [0x221111, 0x211111, 0x111111, None])
def test_a_jpeg_with_a_hole(sampling: int | None, restart: int) -> None:
    """libjpeg fills what is missing with grey and returns the picture; a lost packet is seen.

    What follows a hole can decode to as many blocks as were lost, so not every one is.
    """
    picture = scene(240, 320) if sampling else scene(240, 320)[..., 0]
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling] if sampling else []
    data = cv2.imencode('.jpg', picture, options)[1].tobytes()
    assert decode_compressed(Compressed('jpeg', data)).shape == (240, 320, 3)
    seen = 0
    for first in range(5, 75, 5):
        holed = without(data, first / 100, len(data) // 6)
        assert cv2.imdecode(np.frombuffer(holed, np.uint8), cv2.IMREAD_COLOR) is not None
        try:
            decode_compressed(Compressed('jpeg', holed))
        except ImageError as error:
            assert 'JPEG image is' in str(error)
            seen += 1
    assert seen >= 10


@pytest.mark.parametrize('restart', [0, 1, 4])
@pytest.mark.parametrize('size', [(48, 64), (47, 61), (33, 49), (8, 8)])
def test_a_grey_picture_is_whole(size: tuple[int, int], restart: int) -> None:
    """The grey that libjpeg fills with is a colour that pictures have."""
    picture = np.full((*size, 3), 128, np.uint8)
    picture[:9, :9] = 30
    options = [cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    data = cv2.imencode('.jpg', picture, options)[1].tobytes()
    frame = decode_compressed(Compressed('jpeg', data))
    assert frame.shape == picture.shape
    assert size == (8, 8) or (frame[-1, -1] == 128).all()


def test_a_cut_jpeg_with_a_whole_thumbnail() -> None:
    """The end of the thumbnail is not that of the picture."""
    thumbnail = jpeg(GREY)
    segment = b'\xff\xe1' + struct.pack('>H', len(thumbnail) + 2) + thumbnail
    whole = jpeg(RED)
    data = whole[:2] + segment + whole[2:]
    assert decode_compressed(Compressed('jpeg', data)).shape == RED.shape
    with pytest.raises(ImageError, match='cut off'):
        decode_compressed(Compressed('jpeg', data[:-30]))


@pytest.mark.parametrize(
    'form', ['bayer_rggb8; jpeg compressed mono8', 'bayer_rggb8; png compressed mono8']
)
def test_a_mosaic_that_was_made_grey(form: str) -> None:
    """image_transport's publisher does that before it compresses."""
    data = png(GREY) if 'png' in form else jpeg(np.full((8, 8), 90, np.uint8))
    frame = decode_compressed(Compressed(form, data))
    assert (frame == frame[..., :1]).all()
    expected = GREY_RGB if 'png' in form else np.full((8, 8, 3), 90, np.uint8)
    np.testing.assert_array_equal(frame, expected)


def test_depth_that_is_asked_for() -> None:
    millimetres = np.array([[0, 1000, 2000, 4000]], np.uint16)
    message = Compressed('16UC1; png compressed mono16', png(millimetres))
    frame = decode_compressed(message, depth_range=4.0)
    assert frame[0, :, 0].tolist() == [0, 191, 128, 0]
    with pytest.raises(ImageError, match='holds depth in millimetres'):
        decode_compressed(message)
    with pytest.raises(ImageError, match='holds depth in millimetres'):
        decode_compressed(Compressed('16UC1; jpeg compressed mono8', jpeg(GREY)), depth_range=4.0)


def test_exif_turns_nothing() -> None:
    # A JPEG with an EXIF segment that says: turn by 90 degrees (tag 0x112, value 6).
    entry = struct.pack('<HHIHH', 0x112, 3, 1, 6, 0)
    tiff = b'Exif\0\0II*\0' + struct.pack('<IH', 8, 1) + entry + bytes(4)
    plain = jpeg(np.zeros((8, 24, 3), np.uint8))
    turned = plain[:2] + b'\xff\xe1' + struct.pack('>H', len(tiff) + 2) + tiff + plain[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (24, 8, 3)
    assert decode_compressed(Compressed('jpeg', turned)).shape == (8, 24, 3)


def damaged_png(keep_checksum: bool) -> bytes:
    """A PNG whose compressed pixels are no zlib stream; its checksum says so or does not."""
    data = bytearray(png(RGB))
    at = data.index(b'IDAT')
    length = struct.unpack_from('>I', data, at - 4)[0]
    data[at + 4] ^= 0xFF
    if not keep_checksum:
        body = bytes(data[at : at + 4 + length])
        struct.pack_into('>I', data, at + 4 + length, zlib.crc32(body))
    return bytes(data)


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        (Compressed('jpeg', b''), 'The compressed image is empty'),
        (Compressed('jpeg', jpeg(RGB)[:-40]), r'JPEG image is cut off after \d+ bytes'),
        (Compressed('jpeg', b'\xff\xd8\xff' + bytes(50) + b'\xff\xd9'), 'damaged'),
        (Compressed('png', png(RGB)[:-12]), r'PNG image is cut off after \d+ bytes'),
        (Compressed('png', png(RGB)[:50]), 'PNG image is cut off after 50 bytes'),
        (Compressed('png', png(RGB)[:8]), 'PNG image is cut off after 8 bytes'),
        (Compressed('png', damaged_png(True)), 'PNG image is damaged: a checksum'),
        (Compressed('png', damaged_png(False)), 'damaged and cannot be decoded'),
        (Compressed('h264', bytes(100)), r"'h264', 100 bytes\) is neither JPEG nor PNG"),
        (Compressed('png', png(DEEP[..., 0])), 'one channel of 16 bits, which is depth'),
        (
            Compressed('16UC1; png compressed ', png(DEEP[..., 0])),
            'holds depth in millimetres, not a picture',
        ),
        (Compressed('16UC1; jpeg compressed ', jpeg(GREY)), 'holds depth in millimetres'),
        (Compressed('32FC1; png compressed ', png(DEEP[..., 0])), 'holds depth in metres'),
        (Compressed('16UC1; compressedDepth png', bytes(12) + png(GREY)), 'holds depth'),
        (Compressed('32FC1; compressedDepth', b''), 'holds depth'),
        (Compressed('bayer_rggb8; png compressed ', png(GREY[:2, :2])), 'too small'),
    ],
)
def test_refused_with_a_sentence(message: Compressed, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as refused:
        decode_compressed(message)
    assert str(refused.value).endswith('.')
    assert '\n' not in str(refused.value)


def test_messages_of_rclpy() -> None:
    message_type = pytest.importorskip('sensor_msgs.msg', reason='ROS is not here').CompressedImage
    message = message_type(format='png', data=png(RGB[..., ::-1]))
    np.testing.assert_array_equal(decode_compressed(message), RGB)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header says any size, in order but for its pixels."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack('>I', 13) + header + struct.pack('>I', zlib.crc32(header))
    return png(GREY)[:8] + chunk + png(GREY)[33:]


def jpeg_of_size(width: int, height: int, before: bytes = b'') -> bytes:
    """A JPEG whose header says any size, with some bytes before its first segment."""
    data = bytearray(jpeg(GREY))
    struct.pack_into('>HH', data, data.index(b'\xff\xc0') + 5, height, width)
    return bytes(data[:2] + before + data[2:])


@pytest.mark.parametrize('width, height', [(32767, 32767), (65535, 65535), (1025, 65535)])
@pytest.mark.parametrize(
    'make',
    [
        png_of_size,
        jpeg_of_size,
        # Fill bytes, garbage, and a comment with a false start of a frame in it.
        lambda w, h: jpeg_of_size(w, h, b'\xff' * 9),
        lambda w, h: jpeg_of_size(w, h, b'\xff\xfe\0\x02garbage\xff\0'),
        lambda w, h: jpeg_of_size(w, h, b'\xff\xfe\0\x0b\xff\xc0\0\x11\x08\0\x01\0\x01'),
    ],
)
def test_too_large_by_the_header(
    make: Any, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decompressed'))
    sentence = f'{width}x{height} pixels, {width * height} in all; at most {1 << 26} are taken'
    with pytest.raises(ImageError, match=sentence):
        decode_compressed(Compressed('', make(width, height)))


def test_the_largest_is_taken() -> None:
    for data in (png(GREY), jpeg(GREY)):
        assert decode_compressed(Compressed('', data), GREY.size).shape[:2] == GREY.shape
        with pytest.raises(ImageError, match='max_image_pixels'):
            decode_compressed(Compressed('', data), GREY.size - 1)


def test_a_format_is_quoted_on_one_line_and_not_at_length() -> None:
    with pytest.raises(ImageError) as refused:
        decode_compressed(Compressed('\x1b[31m\n' + 'x' * 10**6, bytes(10)))
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


def test_a_jpeg_of_very_many_scans_is_not_decoded() -> None:
    """Each of a few bytes goes through the whole picture: a megabyte would take an hour."""
    data = cv2.imencode('.jpg', RED, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode_compressed(Compressed('jpeg', data)).shape == RED.shape
    last = data[data.rindex(b'\xff\xda') : -2]
    bomb = data[:-2] + 55 * last + data[-2:]
    with pytest.raises(ImageError, match='more than 64 scans'):
        decode_compressed(Compressed('jpeg', bomb))
