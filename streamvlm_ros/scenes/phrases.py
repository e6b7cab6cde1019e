# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The wordings of every question; `{x}` and `{y}` are names of things or colours."""

from __future__ import annotations

import re
from typing import NamedTuple

from streamvlm_ros.scenes.things import COLOURS, SHAPES

PHRASES: dict[str, tuple[str, ...]] = {
    'colour': (
        'What colour is the {x}?',
        'Which colour does the {x} have?',
        'What color is the {x}?',
        'Tell me the colour of the {x}.',
        'The {x}: what colour is it?',
    ),
    'shape': (
        'What shape is the {x} object?',
        'What is the shape of the {x} thing?',
        'Which shape does the {x} object have?',
        'The {x} object: what shape is it?',
        'What kind of object is the {x} one?',
    ),
    'count_now': (
        'How many objects are visible now?',
        'How many objects do you see now?',
        'How many things are in view right now?',
        'Count the objects that are visible now.',
    ),
    'count_ever': (
        'How many different objects have you seen so far?',
        'How many objects have there been in total?',
        'Count all the different objects seen so far.',
        'How many different things have you seen until now?',
    ),
    'direction': (
        'Which way did the {x} move?',
        'In which direction did the {x} move?',
        'Where did the {x} move to, left or right?',
        'Which way has the {x} been moving?',
        'Did the {x} move left or right?',
    ),
    'last_in': (
        'Which object came in last?',
        'What entered last?',
        'Which object entered last?',
        'What was the last thing to come in?',
    ),
    'last_out': (
        'Which object left last?',
        'What left last?',
        'Which object went out last?',
        'What was the last thing to leave?',
    ),
    'order': (
        'Which came in first, the {x} or the {y}?',
        'What entered first, the {x} or the {y}?',
        'Which one came in earlier, the {x} or the {y}?',
        'Of the {x} and the {y}, which came in first?',
    ),
    'order_light': (
        'Did the {x} come in before or after the light turned {y}?',
        'Was it before or after the light turned {y} that the {x} came in?',
        'The {x} came in: before or after the light turned {y}?',
    ),
    'light_now': (
        'What colour is the light now?',
        'Which colour does the light show now?',
        'What color is the signal light right now?',
        'What is the light showing now?',
    ),
    'light_first': (
        'What colour was the light at first?',
        'What color was the light at the beginning?',
        'Which colour did the light show first?',
        'What was the first colour of the light?',
    ),
    'light_before': (
        'What colour was the light before the last change?',
        'What color did the light have before it changed last?',
        'Before its last change, what colour was the light?',
    ),
    'seen': (
        'Have you seen a {x}?',
        'Was there ever a {x}?',
        'Did a {x} appear at any time?',
        'Has a {x} been there at any time?',
    ),
    'when': (
        'How long ago did the {x} come in?',
        'How long is it since the {x} came in?',
        'When did the {x} come in?',
        'How much time has passed since the {x} entered?',
    ),
    'when_light': (
        'How long ago did the light turn {x}?',
        'How long is it since the light turned {x}?',
        'When did the light turn {x}?',
    ),
    'where': (
        'Where is the {x} now?',
        'Is the {x} on the left, in the middle or on the right?',
        'In which part of the picture is the {x} now?',
        'Where do you see the {x} now?',
    ),
}

# Nothing in any picture answers these.
OUTSIDE: tuple[str, ...] = (
    'How warm is it in the room?',
    'What time is it?',
    'What is the name of the robot?',
    'Who built this room?',
    'What is behind the camera?',
    'What will happen next?',
    'How heavy are the objects?',
    'What does the room smell like?',
    'How full is the battery?',
    'What can you hear?',
    'What is the weather like outside?',
    'Which song is playing?',
    'How much did the objects cost?',
    'Who switched the light?',
    'What is inside the objects?',
    'What happened yesterday?',
)

OUTSIDE_KEY = 'outside'


class Wording(NamedTuple):
    """What a question is about: its key in `PHRASES` or `OUTSIDE_KEY`, and the names in it."""

    key: str
    x: str = ''
    y: str = ''


def parse_question(text: str) -> Wording | None:
    """Return what a question is about; None if it is none of those that scenes are asked."""
    if text in OUTSIDE:
        return Wording(OUTSIDE_KEY)
    for key, phrases in PHRASES.items():
        for phrase in phrases:
            matched = re.fullmatch(_pattern(phrase), text)
            if matched:
                return Wording(key, **matched.groupdict())
    return None


def _pattern(phrase: str) -> str:
    colours, shapes = '|'.join(COLOURS), '|'.join(SHAPES)
    name = f'(?:{colours}|{shapes}|(?:{colours}) (?:{shapes}))'
    pattern = re.escape(phrase)
    for place in ('x', 'y'):
        pattern = pattern.replace(re.escape(f'{{{place}}}'), f'(?P<{place}>{name})')
    return pattern
