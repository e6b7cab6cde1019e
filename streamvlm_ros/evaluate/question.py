# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question of a benchmark, what was answered to it, and when that counts as right."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

Rule = Literal['letter', 'first_letter', 'count', 'yes_no', 'output']

OUTPUT_TOLERANCE_S = 2.0  # StreamingBench, src/data/count.py: a proactive output is in time
_FORMS: dict[str, re.Pattern[str]] = {
    'letter': re.compile(r'\(?[A-Z]\)?(?:[.:)].*)?', re.DOTALL),
    'first_letter': re.compile(r'[A-Z](?:[.:)].*)?', re.DOTALL),
    'count': re.compile(r'\d+\.?'),
    'yes_no': re.compile(r'(?:Yes|No|Y|N)\.?'),
    'output': re.compile(r'.+', re.DOTALL),
}


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked about a video, and when.

    Attributes:
        key: names it in the file of responses; unique in a benchmark.
        task: the benchmark's name of its kind.
        video: the video's path as the annotations have it.
        start_s: the model is shown the video from here, in seconds ...
        times_s: ... to here, and is then asked.  Several times: it is asked at each, until a
            response has a yes in it.
        prompt: what the model is asked.
        then_ask: what it is asked after a yes; '': nothing.
        rule: when a response is right; see ``Response.is_right``.
        truth: the letter, the number, Yes or No, or the text that is to be put out.
        truth_s: when that is to be put out; None: this is not what is asked.

    """

    key: str
    task: str
    video: str
    start_s: float
    times_s: tuple[float, ...]
    prompt: str
    rule: Rule
    truth: str
    then_ask: str = ''
    truth_s: float | None = None

    @property
    def seconds(self) -> float:
        """How much of the video it needs, at most."""
        return max(0.0, self.times_s[-1] - self.start_s)


@dataclasses.dataclass(frozen=True)
class Response:
    """A response with its truth.

    Attributes:
        task: the benchmark's name of the question's kind.
        rule: when it is right.
        truth: as ``Question.truth``.
        text: what was answered; None: nothing.
        late_s: seconds from the time when the text was to be put out until it was; None: this is
            not what was asked.

    """

    task: str
    rule: Rule
    truth: str
    text: str | None
    late_s: float | None = None

    @property
    def is_right(self) -> bool:
        """Whether the benchmark's own scorer counts it as right.

        ``letter``: the letter is anywhere in the response.  ``yes_no``: the word is, or its first
        letter is all of the response.  ``count``: all digits of the response, joined, are the
        number.  ``first_letter``: the first character is the letter.  ``output``: the text is in
        the response, and it is in time.  Upper and lower case differ.
        (OVO-Bench, utils/OVOBenchScore.py; StreamingBench, src/data/count.py.)
        """
        if self.text is None:
            return False
        if self.rule == 'count':
            return ''.join(re.findall(r'\d+', self.text)) == self.truth
        if self.rule == 'yes_no':
            return self.text == self.truth[:1] or self.truth in self.text
        if self.rule == 'first_letter':
            return self.text[:1] == self.truth
        if self.rule == 'output':
            return self.is_in_time and self.truth in self.text
        return self.truth in self.text

    @property
    def is_in_time(self) -> bool:
        """Whether a text was put out when it was to be."""
        return self.late_s is not None and abs(self.late_s) <= OUTPUT_TOLERANCE_S

    @property
    def is_in_form(self) -> bool:
        """Whether it is what the prompt asks for, and not for example a sentence."""
        return self.text is not None and bool(_FORMS[self.rule].fullmatch(self.text.strip()))
