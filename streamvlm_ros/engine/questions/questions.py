# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about a stream: each one a branch over it, the open ones decoded as one batch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
import time

import torch

from streamvlm_ros.engine.errors import ErrorCode, StillReadError, StreamError
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.outputs import Answer, Choice
from streamvlm_ros.engine.questions.answering import Answering, GREEDY, SamplingParams
from streamvlm_ros.engine.questions.branch import Branch
from streamvlm_ros.engine.questions.decoder import Decoder
from streamvlm_ros.engine.questions.pieces import BranchPrompt, ChoicePrompt, finish
from streamvlm_ros.engine.questions.sequence import OpenQuestion
from streamvlm_ros.engine.stream.stream import FrameStream


class Questions:
    """Opens, decodes and closes the questions about one stream.

    Attributes:
        model: answers with the same one can be decoded together, whatever stream they are about.

    """

    def __init__(self, model: StreamingModel, prompt: Prompt, stream: FrameStream) -> None:
        """Ask about ``stream``."""
        self.model, self._decoder = model, Decoder.of(model)
        self._prompt = prompt
        self._stream = stream

    @property
    def must_wait(self) -> bool:
        """Whether no question should be opened until an open one has ended.

        Positions are to be counted anew, which no branch may see happen.  Or a chunk or a turn
        waits for slots that a new branch would hold as well: it would wait without end.
        """
        return (self._stream.put_off and self._stream.cache.pinned) or self._stream.memory.held_up

    def open(
        self,
        question: str,
        max_new_tokens: int = 128,
        update_state: bool = False,
        sampling: SamplingParams = GREEDY,
        began: float | None = None,
    ) -> OpenQuestion:
        """Prefill a question on a branch of its own and draw its first token; see ``begin``."""
        opened = self.begin(question, max_new_tokens, update_state, sampling, began)
        self._finish_prefill(opened)
        return opened

    def choose(self, question: str, choices: Sequence[str]) -> Answer:
        """Answer a choice question; see ``VideoStreamingInference.ask_choice``."""
        opened = self.begin_choice(question, choices)
        self._finish_prefill(opened)
        return self.close(opened)

    @torch.inference_mode()
    def begin(
        self,
        question: str,
        max_new_tokens: int = 128,
        update_state: bool = False,
        sampling: SamplingParams = GREEDY,
        began: float | None = None,
    ) -> OpenQuestion:
        """Open a question on a branch of its own; ``advance`` prefills it piece by piece.

        The stream stays as it is, to the byte: frames that wait for their chunk to fill go into
        the branch.  ``close`` or ``abandon`` must follow: until then the branch holds what it
        sees.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: ``close`` is to keep question and answer in the stream, which must not
                change until then.
            sampling: how tokens are drawn.
            began: when the question was asked (``time.perf_counter``), if that was earlier.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, or OUT_OF_MEMORY.

        """
        if not 1 <= max_new_tokens <= self._stream.cache.capacity:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'max_new_tokens is {max_new_tokens}; give 1 to {self._stream.cache.capacity}.',
            )
        asked = self._prompt.question(question)
        # The answer's last token, fed or not, and the end of its turn.
        room = max_new_tokens + len(self._prompt.turn_end) + 1 if update_state else 0
        opened, prompt = self._begin(question, asked, began, room)
        opened.update_state = update_state
        opened.pieces = self._answer(opened.branch, prompt, max_new_tokens, sampling)
        return opened

    @torch.inference_mode()
    def begin_choice(
        self, question: str, choices: Sequence[str], began: float | None = None
    ) -> OpenQuestion:
        """Open a choice question; otherwise as ``begin``.  ``close`` gives the answer."""
        asked, scored = self._prompt.choice_question(question, choices)
        opened, prompt = self._begin(question, asked, began)
        opened.pieces = self._choose(opened.branch, prompt, choices, scored)
        return opened

    @torch.inference_mode()
    def advance(self, opened: OpenQuestion) -> None:
        """Prefill the next piece of an open question, if one is left."""
        if opened.pieces is not None:
            try:
                next(opened.pieces)
            except StopIteration as last:
                opened.prefilled(last.value)

    @torch.inference_mode()
    def decode(self, opened: Sequence[OpenQuestion]) -> None:
        """Decode one token of every open answer that has not ended, all in one pass."""
        self._decoder.step(
            [each.answering for each in opened if each.answering is not None and not each.ended]
        )

    @torch.inference_mode()
    def close(self, opened: OpenQuestion, finish_reason: str = '') -> Answer:
        """Return the answer and free its branch; with ``update_state``, keep its turn.

        Raises:
            StreamError: OUT_OF_MEMORY; nothing is kept, and the branch is freed.  A
                StillReadError: other open answers read what goes for the turn.  All is as it
                was; it can be closed when one of them has ended.

        """
        try:
            if opened.update_state and opened.answering is not None:
                self._keep(opened, opened.answering)
            answer = opened.answer(finish_reason=finish_reason)
        except StillReadError:
            raise
        except BaseException:
            self.abandon(opened)
            raise
        self.abandon(opened)
        return answer

    def abandon(self, opened: OpenQuestion) -> None:
        """Free what an open question holds; nothing of it is kept.  May be called again."""
        if opened.update_state:
            self._stream.memory.held_up = False
        if opened.pieces is not None:
            opened.pieces.close()
        opened.branch.close()

    @torch.inference_mode()
    def score(
        self,
        asked: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]],
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
                branch.score_pieces(
                    [ChoicePrompt(None, None, [*enter, *ids], choices) for ids, choices in asked]
                )
            )
        finally:
            branch.close()
        return [tuple(each.softmax(-1).tolist()) for each in scores]

    def _begin(
        self,
        question: str,
        asked: Sequence[int],
        began: float | None,
        room: int = 0,
    ) -> tuple[OpenQuestion, BranchPrompt]:
        """Open a branch for a question's own ids, and what of the stream has to come before them.

        Args:
            question: as it was asked.
            asked: its ids.
            began: when it was asked.
            room: tokens besides for which the stream must have room, where all are to be kept.

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
        ids = [*(chunk.ids if chunk else ()), *prompt.ids]
        if room:
            stream.memory.check(len(ids) + room)
        branch = Branch(self.model, stream.cache, stream.state)
        return OpenQuestion(question, ids, chunk, began, stream, branch), prompt

    def _answer(
        self, branch: Branch, prompt: BranchPrompt, max_new_tokens: int, sampling: SamplingParams
    ) -> Generator[None, None, Answering]:
        """Prefill a question in free text, and draw its first token."""
        logits = yield from branch.prefill_pieces(prompt)
        return Answering(branch, logits, self._prompt, max_new_tokens, sampling)

    @staticmethod
    def _choose(
        branch: Branch,
        prompt: BranchPrompt,
        choices: Sequence[str],
        scored: Sequence[Sequence[int]],
    ) -> Generator[None, None, Choice]:
        """Score a choice question."""
        [scores] = yield from branch.score_pieces(
            [ChoicePrompt(prompt.chunk, prompt.passed_ns, prompt.ids, scored)]
        )
        probabilities = scores.softmax(-1).tolist()
        best = max(range(len(choices)), key=probabilities.__getitem__)
        return Choice(choices[best], best, tuple(probabilities))

    def _finish_prefill(self, opened: OpenQuestion) -> None:
        try:
            while opened.pieces is not None:
                self.advance(opened)
        except BaseException:
            self.abandon(opened)
            raise

    def _keep(self, opened: OpenQuestion, answering: Answering) -> None:
        """Make an answered branch part of the stream."""
        branch, end = opened.branch, self._prompt.turn_end
        if not opened.fed:  # once, however often it has to wait for room
            if answering.tokens[-1] != end[0]:
                # The last token drawn was never fed.
                self._decoder.feed_last_tokens([answering])
            branch.prefill(end)
            # What only this answer still read makes room for its turn.
            branch.context.let_go()
            opened.fed = True
        if opened.epoch != self._stream.epoch:
            raise StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.',
            )
        # An answer's token has a text token's place, whatever the model has drawn.
        answer = end[:1] * (branch.context.tail.length - len(opened.ids))
        self._stream.keep_turn(opened.chunk, [*opened.ids, *answer], branch.context.tail)
