# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Texts from outside in our sentences: bounded, on one line, printable. No ROS here.

What a camera or a client sends ends in logs, in `~/status` and in terminals: a line break would
forge a line of the log, an escape sequence would drive the terminal, and a megabyte would be sent
once a second.
"""

from __future__ import annotations

MOST_QUOTED = 80  # characters of a client's text in one sentence
MOST_SENTENCE = 500  # characters of a fault as it is published
MOST_FRAME_ID = 4096  # characters; the most that the parameter max_frame_id can allow


def quoted(text: str, most: int = MOST_QUOTED) -> str:
    """Return a text in quotes, unprintable characters escaped, as at most `most` characters."""
    shown = repr(text[:most])
    if len(text) > most or len(shown) > most:
        shown = f'{shown[: most - 4].rstrip(chr(92))}...{shown[0]}'
    return shown


def sentence(text: str, most: int = MOST_SENTENCE) -> str:
    """Return a text on one line, with spaces for unprintable characters, at most `most` long."""
    shown = text[:most]
    if not shown.isprintable():
        shown = ' '.join(''.join(c if c.isprintable() else ' ' for c in shown).split())
    return shown if len(text) <= most else f'{shown[: most - 3]}...'
