# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of a stream: rows of its frames, and under each row what was asked at its end."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import pathlib

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# All in pixels, but IN_A_ROW.
TILE = (224, 168)  # width and height of a frame
GAP, MARGIN = 12, 24
CAPTION, LINE, TITLE = 26, 26, 44  # heights of one line of each
NARROWEST = 480  # sheet
IN_A_ROW = 4  # frames that are shown for one answer
SMALLEST, LARGEST = 224, 448  # longer sides of these
MARK = 26  # from a tick to the question
ANSWERS = 0.52  # of the width, where answers begin
INK, QUIET, PAPER, GOOD, BAD = (
    (30, 30, 30),
    (110, 110, 110),
    (255, 255, 255),
    (0, 120, 40),
    (190, 0, 0),
)


@dataclasses.dataclass(frozen=True)
class Note:
    """A question, its answer, and what is written after an answer that is wrong.

    `right` is None where nothing is known about it.
    """

    question: str
    answer: str
    right: bool | None
    remark: str = ''


@dataclasses.dataclass(frozen=True)
class Row:
    """Frames RGB uint8 [h, w, 3] with their seconds, and what was asked after the last one.

    `tile` is the width and height of a frame in the sheet, in pixels.
    """

    frames: Sequence[Frame]
    seconds: Sequence[float]
    notes: Sequence[Note]
    tile: tuple[int, int] = TILE


def write_contact_sheet(path: pathlib.Path, title: str, rows: Sequence[Row]) -> None:
    """Write the sheet as a PNG.

    Args:
        path: the file to write.
        title: stands above it.
        rows: its rows, with the same number of frames each for a sheet without holes.

    Raises:
        OSError: the file cannot be written.

    """
    widest = max(len(row.frames) * (row.tile[0] + GAP) for row in rows) - GAP
    width = max(NARROWEST, 2 * MARGIN + widest)
    head = _blank(TITLE + MARGIN, width)
    _write(head, title, (MARGIN, MARGIN + 20), INK, scale=0.75)
    parts = [head, *(part for row in rows for part in (_tiles(row, width), _notes(row, width)))]
    sheet = cv2.cvtColor(np.concatenate(parts), cv2.COLOR_RGB2BGR)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode('.png', sheet)[1].tobytes())


def write_pictures(
    path: pathlib.Path,
    title: str,
    notes: Sequence[Note],
    frames: Sequence[Frame],
    seconds: Sequence[float],
) -> None:
    """Write some frames, in rows, and notes under them; raises as `write_contact_sheet`.

    A frame keeps its shape. Small ones are enlarged, each pixel to a square.
    """
    height, width = frames[0].shape[:2]
    longer = max(height, width)
    scale = max(1, SMALLEST // longer) if longer <= LARGEST else LARGEST / longer
    tile = max(1, round(width * scale)), max(1, round(height * scale))
    if scale > 1:
        frames = [_resize(frame, tile, cv2.INTER_NEAREST) for frame in frames]
    starts = range(0, len(frames), IN_A_ROW)
    write_contact_sheet(
        path,
        title,
        [
            Row(
                frames[at : at + IN_A_ROW],
                seconds[at : at + IN_A_ROW],
                notes if at == starts[-1] else [],
                tile,
            )
            for at in starts
        ],
    )


def _tiles(row: Row, width: int) -> Frame:
    wide, high = row.tile
    strip = _blank(high + CAPTION, width)
    for number, (frame, seconds) in enumerate(zip(row.frames, row.seconds)):
        left = MARGIN + number * (wide + GAP)
        if frame.shape[:2] != (high, wide):
            frame = _resize(frame, row.tile, cv2.INTER_CUBIC)
        strip[:high, left : left + wide] = frame
        _write(strip, f'{seconds:.1f} s', (left, high + 18), QUIET)
    return strip


def _notes(row: Row, width: int) -> Frame:
    """Return the block under a row: a tick or a cross, the question, and the answer beside it."""
    column = int(width * ANSWERS)
    lines: list[tuple[Note, str, str]] = []
    for note in row.notes:
        questions = _wrap(note.question, column - MARGIN - MARK - GAP)
        answers = _wrap(f'{note.answer} {note.remark}'.rstrip(), width - MARGIN - column)
        height = max(len(questions), len(answers))
        questions += [''] * (height - len(questions))
        answers += [''] * (height - len(answers))
        lines += [(note, *each) for each in zip(questions, answers)]
    block = _blank(LINE * len(lines) + MARGIN, width)
    told: Note | None = None
    for number, (note, question, answer) in enumerate(lines):
        base = LINE * number + 18
        colour = {True: GOOD, False: BAD, None: INK}[note.right]
        if note is not told and note.right is not None:
            _mark(block, (MARGIN, base), note.right)
        told = note
        left = MARGIN if note.right is None else MARGIN + MARK
        _write(block, question, (left, base), INK)
        _write(block, answer, (column, base), colour)
    return block


def _mark(image: Frame, place: tuple[int, int], right: bool) -> None:
    x, y = place
    strokes = (
        [[(x, y - 6), (x + 5, y - 1), (x + 14, y - 12)]]
        if right
        else [[(x, y - 12), (x + 12, y)], [(x, y), (x + 12, y - 12)]]
    )
    for stroke in strokes:
        points = np.array(stroke, np.int32)
        cv2.polylines(image, [points], False, GOOD if right else BAD, 2, cv2.LINE_AA)


def _wrap(text: str, width: int) -> list[str]:
    """Return a text cut at its spaces into lines that are no wider than so many pixels."""
    # cv2's fonts know ASCII only.
    words = text.encode('ascii', 'replace').decode().split()
    lines = ['']
    for word in words:
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and _width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _width(text: str, scale: float = 0.5) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def _write(
    image: Frame, text: str, place: tuple[int, int], colour: Colour, scale: float = 0.5
) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def _resize(frame: Frame, size: tuple[int, int], interpolation: int) -> Frame:
    return np.asarray(cv2.resize(frame, size, interpolation=interpolation), np.uint8)


def _blank(height: int, width: int) -> Frame:
    return np.full((height, width, 3), PAPER, np.uint8)
