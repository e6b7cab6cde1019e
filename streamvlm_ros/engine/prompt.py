# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The prompt, cut so that nothing is ever prefilled twice.

The pieces are cut out of what the model's own chat template renders, so that joined they are
that rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
import enum
from typing import Any

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.processor import StreamProcessor

MAX_CHOICES = 26
_QUESTION = 'QUESTION-GOES-HERE'
_ANSWER = 'ANSWER-GOES-HERE'


class Place(enum.Enum):
    """What the last cached token belongs to."""

    NOTHING = enum.auto()
    VIDEO = enum.auto()
    USER_TURN = enum.auto()
    TURN_END = enum.auto()


class Prompt:
    """Token ids of everything around frames, questions and answers.

    Attributes:
        pad: id of ``<|video_pad|>``.
        stop: ids that end an answer.

    """

    def __init__(self, processor: StreamProcessor, system_prompt: str,
                 stop: Sequence[int]) -> None:
        """Render the chat template once, and cut it."""
        tokenizer = processor.tokenizer
        system = ([{'role': 'system', 'content': [{'type': 'text', 'text': system_prompt}]}]
                  if system_prompt else [])
        turn: list[dict[str, Any]] = [*system, {'role': 'user', 'content': [
            {'type': 'video', 'video': ''}, {'type': 'text', 'text': _QUESTION}]}]
        more = [*turn, {'role': 'assistant', 'content': [{'type': 'text', 'text': _ANSWER}]},
                {'role': 'user', 'content': [{'type': 'text', 'text': _QUESTION}]}]

        def render(messages: list[dict[str, Any]]) -> str:
            return tokenizer.apply_chat_template(
                messages, chat_template=processor.chat_template, tokenize=False,
                add_generation_prompt=True)

        first, rest = render(turn).split('<|video_pad|>')
        start, end = '<|vision_start|>', '<|vision_end|>'
        if not first.endswith(start) or not rest.startswith(end):
            raise ValueError('The chat template does not put <|vision_start|> and <|vision_end|> '
                             'around a video; it is no Qwen2.5-VL template.')
        self._tokenizer = tokenizer
        self._control = sorted(tokenizer.get_added_vocab())
        self._vision_start, self._vision_end = self._ids(start), self._ids(end)
        self._behind_question = self._ids(rest.split(_QUESTION)[1])
        between = render(more).split(_ANSWER)[1].split(_QUESTION)[0]
        turn_end, separator, user = between.partition('<|im_start|>')
        self.turn_end = self._ids(turn_end)
        # What leads from each place to one in a user turn, outside of any vision segment.
        self._into_user_turn: dict[Place, list[int]] = {
            Place.NOTHING: self._ids(first.removesuffix(start)),
            Place.VIDEO: self._vision_end,
            Place.USER_TURN: [],
            Place.TURN_END: self._ids(separator + user)}
        self.pad = tokenizer.convert_tokens_to_ids('<|video_pad|>')
        self.stop = frozenset((*stop, self.turn_end[0]))

    def open_segment(self, place: Place) -> list[int]:
        """Return what is prefilled before a new vision segment's first video token."""
        return [*self._into_user_turn[place], *self._vision_start]

    def close_segment(self) -> list[int]:
        """Return what is prefilled behind a vision segment's last video token."""
        return list(self._vision_end)

    def ask(self, place: Place, question: str) -> list[int]:
        """Return the question's piece behind a place, down to where the answer begins.

        Raises:
            StreamError: as ``question``.

        """
        return [*self.enter_user_turn(place), *self.question(question)]

    def enter_user_turn(self, place: Place) -> list[int]:
        """Return what leads from a place to where a question may stand."""
        return list(self._into_user_turn[place])

    def question(self, question: str) -> list[int]:
        """Return a question's own ids, down to where the answer begins.

        Raises:
            StreamError: INVALID_REQUEST for an empty question or one with control tokens.

        """
        text = question.strip()
        if not text:
            raise StreamError(ErrorCode.INVALID_REQUEST, 'The question is empty; ask something.')
        self._refuse_control_tokens('question', text)
        return [*self._ids(text), *self._behind_question]

    def choice_question(self, question: str, choices: Sequence[str],
                        ) -> tuple[list[int], list[list[int]]]:
        """Return the question's own ids and every choice's, each with its end of turn.

        The choices are listed in sorted order, so that the caller's order cannot matter.

        Raises:
            StreamError: INVALID_REQUEST for too few, too many, empty or equal choices.

        """
        texts = [choice.strip() for choice in choices]
        wrong = ''
        if len(texts) < 2:
            wrong = f'{len(texts)} choices were given; give at least two.'
        elif len(texts) > MAX_CHOICES:
            wrong = f'{len(texts)} choices were given; give at most {MAX_CHOICES}.'
        elif not all(texts):
            wrong = 'A choice is empty; give every choice a text.'
        elif len(set(texts)) < len(texts):
            wrong = 'The same choice was given twice; give different ones.'
        if wrong:
            raise StreamError(ErrorCode.INVALID_REQUEST, wrong)
        for text in texts:
            self._refuse_control_tokens('choice', text)
        if question.strip():
            question = f'{question.strip()}\nAnswer with one of: {", ".join(sorted(texts))}.'
        return (self.question(question),
                [[*self._ids(text), self.turn_end[0]] for text in texts])

    def text(self, tokens: Sequence[int]) -> str:
        """Return the words of answer tokens, without control tokens."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _refuse_control_tokens(self, what: str, text: str) -> None:
        for token in self._control:
            if token in text:
                raise StreamError(ErrorCode.INVALID_REQUEST,
                                  f'The {what} contains the control token {token}; leave it out.')
