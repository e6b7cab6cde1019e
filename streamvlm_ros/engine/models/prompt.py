# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The prompt, cut into pieces so that nothing is prefilled twice.

The pieces are cut out of what the model's own chat template renders: joined, they are that
rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
import enum
from typing import Any

from streamvlm_ros import checks
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.base import ModelFamily
from streamvlm_ros.engine.models.chat_template import render
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.stamps import LAST_STAMP, NANOSECONDS

MAX_CHOICES = 26
# A text with more characters for each token that it may have is refused before it is tokenised.
# English has about 4, and only runs of one character have more than this.
CHARACTERS_PER_TOKEN = 16
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
        pad: id of the token that stands for one token of a temporal patch.
        stop: ids that end an answer.
        each_patch_opens: every temporal patch is a vision segment of its own, with text before it.

    """

    def __init__(
        self,
        processor: StreamProcessor,
        family: ModelFamily,
        system_prompt: str,
        stop: Sequence[int],
        max_question_tokens: int = 2048,
        max_system_tokens: int = 2048,
    ) -> None:
        """Render the chat template once, and cut it.

        Args:
            processor: knows the tokenizer and the template.
            family: the model's.
            system_prompt: the system turn's text; empty: the template's own.
            stop: ids that end an answer.
            max_question_tokens: most tokens of a question, its choices included.
            max_system_tokens: most tokens of ``system_prompt``.

        Raises:
            StreamError: INVALID_REQUEST; the system prompt is too long, or has a control token.
            ValueError: the template cannot be rendered, or is not one of the family.

        """
        self._tokenizer = tokenizer = processor.tokenizer
        self._patch_text = family.patch_text
        self.each_patch_opens = family.patch_text is not None
        tokens = family.tokens
        other = f'it is not a {family.name} template.'
        self._control = sorted(tokenizer.get_added_vocab())
        self._max_tokens = max_question_tokens
        self._check_length('system prompt', len(system_prompt), max_system_tokens)
        if system_prompt:
            self._refuse_control_tokens('system prompt', system_prompt)
            self._check_tokens('system prompt', len(self._ids(system_prompt)), max_system_tokens)
        system = (
            [{'role': 'system', 'content': [{'type': 'text', 'text': system_prompt}]}]
            if system_prompt
            else []
        )
        turn: list[dict[str, Any]] = [
            *system,
            {
                'role': 'user',
                'content': [{'type': 'video', 'video': ''}, {'type': 'text', 'text': _QUESTION}],
            },
        ]
        more = [
            *turn,
            {'role': 'assistant', 'content': [{'type': 'text', 'text': _ANSWER}]},
            {'role': 'user', 'content': [{'type': 'text', 'text': _QUESTION}]},
        ]

        name = processor.template_name

        def rendered(messages: list[dict[str, Any]]) -> str:
            # What apply_chat_template gives to a template besides: these, and nothing of tools.
            return render(
                processor.chat_template,
                name,
                {
                    **tokenizer.special_tokens_map,
                    'messages': messages,
                    'tools': None,
                    'documents': None,
                    'add_generation_prompt': True,
                },
            )

        def after(text: str, mark: str) -> str:
            if mark not in text:
                raise ValueError(
                    f'The chat template {name} leaves out what is said or seen; {other}'
                )
            return text.split(mark, 1)[1]

        first, _, rest = rendered(turn).partition(tokens.video)
        start, end = tokens.vision_start, tokens.vision_end
        if not first.endswith(start) or not rest.startswith(end):
            raise ValueError(
                f'The chat template {name} does not put {start} and {end} around one video; '
                f'{other}'
            )
        self._vision_start, self._vision_end = self._ids(start), self._ids(end)
        self._after_question = self._ids(after(rest, _QUESTION))
        between = after(rendered(more), _ANSWER).split(_QUESTION)[0]
        turn_end, separator, user = between.partition(tokens.turn_start)
        self.turn_end = self._ids(turn_end)
        if not self.turn_end:
            raise ValueError(f'The chat template {name} does not end a turn; {other}')
        # What leads from each place to one in a user turn, outside of any vision segment.
        self._into_user_turn: dict[Place, list[int]] = {
            Place.NOTHING: self._ids(first.removesuffix(start)),
            Place.VIDEO: self._vision_end,
            Place.USER_TURN: [],
            Place.TURN_END: self._ids(separator + user),
        }
        self.pad = tokenizer.convert_tokens_to_ids(tokens.video)
        self.stop = frozenset((*stop, self.turn_end[0]))

    @property
    def prefix_tokens(self) -> int:
        """Number of the tokens that a stream begins with and keeps for good.

        The first vision segment's opening is one of them, unless it is evicted with its patch.
        """
        before = self.enter_user_turn(Place.NOTHING)
        return len(before) if self.each_patch_opens else len(before) + len(self._vision_start)

    @property
    def opening_tokens(self) -> tuple[int, int]:
        """The least and the largest number of tokens that open a vision segment in a user turn."""
        start = len(self._vision_start)
        return start, start + (self._patch_text.most_tokens if self._patch_text else 0)

    @property
    def most_around_patch(self) -> int:
        """The largest number of tokens that open and close a temporal patch's own segment.

        It is 0 if patches share a segment.
        """
        if not self.each_patch_opens:
            return 0
        return self.opening_tokens[1] + len(self._vision_end)

    def open_segment(
        self, place: Place, elapsed_ns: Sequence[int] = (0,), timed: bool = False
    ) -> list[int]:
        """Return what is prefilled before a new vision segment's first video token.

        Args:
            place: what the last cached token belongs to.
            elapsed_ns: from the time of the stream's first frame to that of each frame of the
                segment's first temporal patch, for a family that writes times.
            timed: write the first of these for a family that does not.

        """
        text: list[int] = []
        if self._patch_text is None and timed:
            text = self._ids(seconds_text(elapsed_ns[0]))
        elif self._patch_text is not None:
            text = self._ids(self._patch_text.of(elapsed_ns))
            if len(text) > self._patch_text.most_tokens:
                raise ValueError(
                    f'The text before a temporal patch has {len(text)} tokens; the family says '
                    f'that it has at most {self._patch_text.most_tokens}.'
                )
        return [*self._into_user_turn[place], *text, *self._vision_start]

    @property
    def most_around_timed_patch(self) -> int:
        """The largest number of tokens that a temporal patch with its time before it takes."""
        longest = len(self._ids(seconds_text(LAST_STAMP)))
        return max(
            self.most_around_patch, longest + self.opening_tokens[0] + len(self._vision_end)
        )

    def close_segment(self) -> list[int]:
        """Return what is prefilled after a vision segment's last video token."""
        return list(self._vision_end)

    def ask(self, place: Place, question: str) -> list[int]:
        """Return what leads from a place to a question, and the question's own ids.

        Raises:
            StreamError: as ``question``.

        """
        return [*self.enter_user_turn(place), *self.question(question)]

    def enter_user_turn(self, place: Place) -> list[int]:
        """Return what leads from a place to where a question may stand."""
        return list(self._into_user_turn[place])

    def question(self, question: str) -> list[int]:
        """Return a question's own ids, up to where its answer begins.

        Raises:
            StreamError: INVALID_REQUEST for an empty question, one that is too long, or one with
                control tokens.

        """
        question = checks.text('question', question)
        self._check_length('question', len(question), self._max_tokens)
        text = question.strip()
        if not text:
            raise StreamError(ErrorCode.INVALID_REQUEST, 'The question is empty; ask something.')
        self._refuse_control_tokens('question', text)
        ids = [*self._ids(text), *self._after_question]
        self._check_tokens('question', len(ids), self._max_tokens)
        return ids

    def choice_question(
        self,
        question: str,
        choices: Sequence[str],
    ) -> tuple[list[int], list[list[int]]]:
        """Return the question's own ids and every choice's, each with its end of turn.

        The choices are listed in sorted order, so that the caller's order cannot matter.

        Raises:
            StreamError: INVALID_REQUEST for too few, too many, empty or equal choices, or if
                question and choices together are too long.

        """
        question, choices = checks.text('question', question), checks.several('choices', choices)
        wrong, texts = '', []
        if len(choices) < 2:
            wrong = f'{len(choices)} choices were given; give at least two.'
        elif len(choices) > MAX_CHOICES:
            wrong = f'{len(choices)} choices were given; give at most {MAX_CHOICES}.'
        else:
            choices = [checks.text('choice', choice) for choice in choices]
            self._check_length(
                'question with its choices',
                len(question) + sum(map(len, choices)),
                self._max_tokens,
            )
            texts = [choice.strip() for choice in choices]
            if not all(texts):
                wrong = 'A choice is empty; give every choice a text.'
            elif len(set(texts)) < len(texts):
                wrong = 'The same choice was given twice; give different ones.'
        if wrong:
            raise StreamError(ErrorCode.INVALID_REQUEST, wrong)
        for text in texts:
            self._refuse_control_tokens('choice', text)
        if question.strip():
            question = choice_text(question.strip(), texts)
        asked = self.question(question)
        scored = [[*self._ids(text), self.turn_end[0]] for text in texts]
        self._check_tokens(
            'question with its choices', tree_tokens(asked, scored), self._max_tokens
        )
        return asked, scored

    def text(self, tokens: Sequence[int]) -> str:
        """Return the words of answer tokens, without control tokens."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    @staticmethod
    def _check_length(what: str, characters: int, tokens: int) -> None:
        """Refuse a text by its length alone, before anything is done with it."""
        if characters > tokens * CHARACTERS_PER_TOKEN:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The {what} has {characters:,} characters; give at most '
                f'{tokens * CHARACTERS_PER_TOKEN:,} ({CHARACTERS_PER_TOKEN} for each of '
                f'{tokens:,} tokens).',
            )

    @staticmethod
    def _check_tokens(what: str, tokens: int, most: int) -> None:
        if tokens > most:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The {what} has {tokens:,} tokens; give at most {most:,}.',
            )

    def _refuse_control_tokens(self, what: str, text: str) -> None:
        for token in self._control:
            if token in text:
                raise StreamError(
                    ErrorCode.INVALID_REQUEST,
                    f'The {what} contains the control token {token}; leave it out.',
                )


def choice_text(question: str, choices: Sequence[str]) -> str:
    """Return the text of a question with its choices; their order does not change it.

    `tiny` was trained on these words (`scenes.questions.choice_prompt`); with others its answers
    are worse until it is trained anew.
    """
    return f'{question}\nAnswer with one of: {", ".join(sorted(choices))}.'


def seconds_text(elapsed_ns: int) -> str:
    """Return a time as it is written before a short video: in seconds, with one decimal."""
    return f'<{elapsed_ns / NANOSECONDS:.1f} seconds>'


def tree_tokens(asked: Sequence[int], scored: Sequence[Sequence[int]]) -> int:
    """Return how many tokens are prefilled to score choices: all but each choice's last one."""
    return len(asked) + sum(len(choice) - 1 for choice in scored)
