# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The encodings of camera images, one row each: how their samples lie in memory."""

from __future__ import annotations

import dataclasses

import cv2


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the samples of one encoding lie in memory and how they become RGB."""

    dtype: str  # numpy's, without byte order
    channels: int  # samples per pixel in a row
    code: int | None = None  # a cv2.cvtColor code; None: the samples are RGB already
    chroma_rows: float = 0.0  # rows of colour after those of brightness, in image heights
    even: bool = False  # neighbours share colour samples: width (or width and height) is even
    least: int = 1  # smallest width and height that can be converted
    cv_bridge: bool = False  # cv_bridge converts this encoding to rgb8 too


# cv2 names a Bayer pattern by its second row, ROS by its first: hence rggb and BG.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}
_BGR, _RGBA, _BGRA, _GRAY = (
    cv2.COLOR_BGR2RGB,
    cv2.COLOR_RGBA2RGB,
    cv2.COLOR_BGRA2RGB,
    cv2.COLOR_GRAY2RGB,
)
_UYVY, _YUYV = cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2RGB_YUY2

LAYOUTS: dict[str, Layout] = {
    'rgb8': Layout('u1', 3, cv_bridge=True),
    'bgr8': Layout('u1', 3, _BGR, cv_bridge=True),
    'rgba8': Layout('u1', 4, _RGBA, cv_bridge=True),
    'bgra8': Layout('u1', 4, _BGRA, cv_bridge=True),
    'rgb16': Layout('u2', 3, cv_bridge=True),
    'bgr16': Layout('u2', 3, _BGR, cv_bridge=True),
    'rgba16': Layout('u2', 4, _RGBA, cv_bridge=True),
    'bgra16': Layout('u2', 4, _BGRA, cv_bridge=True),
    'mono8': Layout('u1', 1, _GRAY, cv_bridge=True),
    'mono16': Layout('u2', 1, _GRAY, cv_bridge=True),
    # Unnamed channels: OpenCV's order, which is what every driver that writes these means.
    '8UC1': Layout('u1', 1, _GRAY),
    '8UC3': Layout('u1', 3, _BGR),
    '8UC4': Layout('u1', 4, _BGRA),
    '32FC3': Layout('f4', 3, _BGR),
    'uyvy': Layout('u1', 2, _UYVY, even=True),
    'yuv422': Layout('u1', 2, _UYVY, even=True, cv_bridge=True),
    'yuyv': Layout('u1', 2, _YUYV, even=True),
    'yuv422_yuy2': Layout('u1', 2, _YUYV, even=True, cv_bridge=True),
    'nv12': Layout('u1', 1, cv2.COLOR_YUV2RGB_NV12, chroma_rows=0.5, even=True),
    'nv21': Layout('u1', 1, cv2.COLOR_YUV2RGB_NV21, chroma_rows=0.5, even=True),
    # A row of colour takes two steps: a sample of each kind for every pixel.
    'nv24': Layout('u1', 1, _YUYV, chroma_rows=2.0),
    # Depth (REP 118), which is shown as a picture only with a `depth_range`.
    '16UC1': Layout('u2', 1, _GRAY),
    '32FC1': Layout('f4', 1, _GRAY),
}
for _pattern, _code in _BAYER.items():
    LAYOUTS[f'bayer_{_pattern}8'] = Layout('u1', 1, _code, least=3, cv_bridge=True)
    LAYOUTS[f'bayer_{_pattern}16'] = Layout('u2', 1, _code, least=3, cv_bridge=True)

ENCODINGS = tuple(LAYOUTS)
"""Every encoding that `decode_image` understands."""

DEPTH = {'16UC1': 'depth in millimetres', '32FC1': 'depth in metres'}

NO_PICTURE = {
    '16SC1': 'disparity or depth',
    '64FC1': 'depth or disparity',
}
