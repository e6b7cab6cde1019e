# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of a stream: its frames, and under each the questions that were asked then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import pathlib
import textwrap

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
TILE = (240, 180)  # width and height of a frame, pixels
COLUMNS = 4
LINE = 15  # pixels
LETTERS = 36  # per line
INK, PAPER, GOOD, BAD = (40, 40, 40), 255, (0, 130, 0), (190, 0, 0)


def write_contact_sheet(
    path: pathlib.Path,
    frames: Sequence[Frame],
    seconds: Sequence[float],
    notes: Mapping[int, Sequence[tuple[str, bool]]],
) -> None:
    """Write the sheet as a PNG.

    Args:
        path: the file to write.
        frames: RGB uint8 [h, w, 3] each.
        seconds: of each frame.
        notes: for some indices of frames what is written below: texts, and whether they are right.

    Raises:
        OSError: the file cannot be written.

    """
    captions = [_lines(seconds[i], notes.get(i, ())) for i in range(len(frames))]
    rows = []
    for start in range(0, len(frames), COLUMNS):
        part = range(start, min(start + COLUMNS, len(frames)))
        height = TILE[1] + LINE * max(len(captions[i]) for i in part) + 10
        row = np.full((height, COLUMNS * (TILE[0] + 8), 3), PAPER, np.uint8)
        for column, i in enumerate(part):
            left = column * (TILE[0] + 8)
            row[: TILE[1], left : left + TILE[0]] = cv2.resize(
                frames[i], TILE, interpolation=cv2.INTER_AREA
            )
            for number, (text, colour) in enumerate(captions[i]):
                place = (left + 2, TILE[1] + LINE * (number + 1) - 3)
                cv2.putText(
                    row, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA
                )
        rows.append(row)
    sheet = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet):
        raise OSError(f'The contact sheet {path} cannot be written.')


def _lines(
    seconds: float, notes: Sequence[tuple[str, bool]]
) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [(f'{seconds:.1f} s', INK)]
    for text, right in notes:
        # cv2's fonts know ASCII only.
        plain = text.encode('ascii', 'replace').decode()
        lines += [(line, GOOD if right else BAD) for line in textwrap.wrap(plain, LETTERS)]
    return lines
