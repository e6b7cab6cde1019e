# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about a stream: each one a branch over it, the open ones decoded as one batch."""

from __future__ import annotations

from collections import abc
import time

import torch

from streamvlm_ros import checks
from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine.errors import ErrorCode, StillReadError, StreamError
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.outputs import Answer
from streamvlm_ros.engine.questions.branch import Branch, BranchPrompt, finish
from streamvlm_ros.engine.questions.decoder import Decoder
from streamvlm_ros.engine.questions.sampler import Sampler, SamplingParams
from streamvlm_ros.engine.questions.scoring import ChoicePrompt, score_pieces
from streamvlm_ros.engine.questions.sequence import Sequence
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.engine.stream.turns import keep_turn


class Questions:
    """Opens, decodes and closes the questions about one stream.

    Attributes:
        model: answers with the same one can be decoded together, whatever stream they are about.

    """

    def __init__(self, model: StreamingModel, prompt: Prompt, stream: FrameStream) -> None:
        """Ask about ``stream``."""
        self.model, self._decoder = model, Decoder.of(model)
        self._generation = model.generation
        usual = SamplingParams.of(AnswerSettings(), self._generation)
        self._usual = None if usual.plain else usual
        self._prompt = prompt
        self._stream = stream

    @property
    def must_wait(self) -> bool:
        """Whether no question should be opened until an open one has ended.

        Either positions have to be counted anew, which waits until no branch is open; or a chunk
        or a turn waits for slots that a new branch would hold too, so it would never get them.
        """
        return (
            self._stream.rebasing.put_off and self._stream.cache.pinned
        ) or self._stream.memory.held_up

    def open(
        self,
        question: str,
        max_new_tokens: int = 128,
        update_state: bool = False,
        settings: AnswerSettings | None = None,
        began: float | None = None,
    ) -> Sequence:
        """Prefill a question on a branch of its own and draw its first token; see ``begin``."""
        sequence = self.begin(question, max_new_tokens, update_state, settings, began)
        self._finish_prefill(sequence)
        return sequence

    def choose(self, question: str, choices: abc.Sequence[str]) -> Answer:
        """Answer a choice question; see ``VideoStreamingInference.ask_choice``."""
        sequence = self.begin_choice(question, choices)
        self._finish_prefill(sequence)
        return self.close(sequence)

    @torch.inference_mode()
    def begin(
        self,
        question: str,
        max_new_tokens: int = 128,
        update_state: bool = False,
        settings: AnswerSettings | None = None,
        began: float | None = None,
    ) -> Sequence:
        """Open a question on a branch of its own; ``advance`` prefills it piece by piece.

        The stream stays as it is, to the byte: frames that wait for their chunk to fill go into
        the branch.  ``close`` or ``abandon`` must follow; until then what the branch sees is not
        evicted.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: ``close`` is to keep question and answer in the stream, which must not
                change until then.
            settings: how tokens are chosen; None: as the model's own settings say, the most
                probable one.
            began: when the question was asked (``time.perf_counter``), if that was earlier.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, or OUT_OF_MEMORY.

        """
        max_new_tokens = checks.integer('max_new_tokens', max_new_tokens)
        update_state = checks.flag('update_state', update_state)
        if not 1 <= max_new_tokens <= self._stream.cache.capacity:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'max_new_tokens is {max_new_tokens}; give 1 to {self._stream.cache.capacity}.',
            )
        asked = self._prompt.question(question)
        # The answer's last token, fed or not, and the end of its turn.
        room = max_new_tokens + len(self._prompt.turn_end) + 1 if update_state else 0
        sequence = self._begin(question, asked, began, room)
        sequence.update_state = update_state
        sequence.answer_in_text(max_new_tokens, self._sampler(sequence, settings))
        return sequence

    @torch.inference_mode()
    def begin_choice(
        self, question: str, choices: abc.Sequence[str], began: float | None = None
    ) -> Sequence:
        """Open a choice question; otherwise as ``begin``.  ``close`` gives the answer."""
        asked, scored = self._prompt.choice_question(question, choices)
        sequence = self._begin(question, asked, began)
        sequence.answer_by_choice(tuple(map(str, choices)), scored)
        return sequence

    @torch.inference_mode()
    def advance(self, sequence: Sequence) -> None:
        """Prefill the next piece of an open question, if one is left."""
        sequence.prefill_next()

    @torch.inference_mode()
    def decode(self, sequences: abc.Sequence[Sequence]) -> None:
        """Decode one token of every open answer that has not ended, all in one pass."""
        self._decoder.step([each for each in sequences if each.tokens and not each.ended])

    @torch.inference_mode()
    def close(self, sequence: Sequence, finish_reason: str = '') -> Answer:
        """Return the answer and free its branch; with ``update_state``, keep its turn.

        Raises:
            StreamError: OUT_OF_MEMORY; nothing is kept, and the branch is freed.  A
                StillReadError: other open answers read what has to be evicted for the turn.
                Nothing has changed; close it again when one of them has ended.

        """
        try:
            if sequence.update_state and sequence.tokens:
                self._keep(sequence)
            answer = sequence.answer(finish_reason=finish_reason)
        except StillReadError:
            raise
        except BaseException:
            self.abandon(sequence)
            raise
        self.abandon(sequence)
        return answer

    def abandon(self, sequence: Sequence) -> None:
        """Free what an open question holds; nothing of it is kept.  May be called again."""
        if sequence.update_state:
            self._stream.memory.held_up = False
        sequence.close()

    @torch.inference_mode()
    def score(
        self,
        asked: abc.Sequence[tuple[abc.Sequence[int], abc.Sequence[abc.Sequence[int]]]],
    ) -> list[tuple[float, ...]]:
        """Score choice questions, all in one pass on one branch of what is cached.

        Args:
            asked: the ids of every question and of its choices, as ``Prompt.choice_question``
                gives them.

        Returns:
            For every question, the probability of each choice.

        """
        enter = self._prompt.enter_user_turn(self._stream.place)
        branch = Branch(self.model, self._stream.cache, self._stream.state)
        try:
            scores = finish(
                score_pieces(
                    branch,
                    [ChoicePrompt(None, None, [*enter, *ids], choices) for ids, choices in asked],
                )
            )
        finally:
            branch.close()
        return [tuple(each.softmax(-1).tolist()) for each in scores]

    def _begin(
        self,
        question: str,
        asked: abc.Sequence[int],
        began: float | None,
        room: int = 0,
    ) -> Sequence:
        """Open a branch for a question's ids, after the frames and the time that are not cached.

        Args:
            question: as it was asked.
            asked: its ids.
            began: when it was asked.
            room: further tokens that the stream must have room for, if all are to be kept.

        """
        stream = self._stream
        if stream.newest is None:
            raise StreamError(
                ErrorCode.NO_FRAMES, 'No frame has come in yet; check the camera topic, or wait.'
            )
        stream.catch_up()
        began = time.perf_counter() if began is None else began
        chunk = stream.waiting_chunk()
        enter = self._prompt.enter_user_turn(chunk.place if chunk else stream.place)
        prompt = BranchPrompt(chunk, stream.skipped_ns, [*enter, *asked])
        if room:
            stream.memory.check((len(chunk.ids) if chunk else 0) + len(prompt.ids) + room)
        return Sequence(self.model, stream, self._prompt, question, prompt, began)

    def _sampler(self, sequence: Sequence, settings: AnswerSettings | None) -> Sampler | None:
        """Return what chooses an answer's tokens; None: the most probable ones are taken."""
        params = self._usual if settings is None else SamplingParams.of(settings, self._generation)
        return (
            None
            if params is None or params.plain
            else Sampler(params, self._stream.cache.ids | {*sequence.ids})
        )

    def _finish_prefill(self, sequence: Sequence) -> None:
        try:
            while sequence.prefilling:
                self.advance(sequence)
        except BaseException:
            self.abandon(sequence)
            raise

    def _keep(self, sequence: Sequence) -> None:
        """Make an answered question part of the stream."""
        end = self._prompt.turn_end
        if not sequence.fed:  # only once, even if it has to wait for room again and again
            if sequence.tokens[-1] != end[0]:
                # The last token that was drawn was not fed yet.
                self._decoder.feed_last_tokens([sequence])
            sequence.prefill(end)
            # Entries that only this answer still read may be overwritten by its turn.
            sequence.context.release_prefix()
            sequence.fed = True
        if sequence.epoch != self._stream.epoch:
            raise StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.',
            )
        drawn = sequence.tokens
        keep_turn(
            self._stream,
            self._prompt,
            sequence.prompt.chunk,
            sequence.ids,
            [*(drawn[:-1] if drawn[-1] == end[0] else drawn), *end],
            sequence.context.tail,
        )
