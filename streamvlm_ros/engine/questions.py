# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about a stream: each one a branch over it, the open ones decoded as one batch."""

from __future__ import annotations

from collections.abc import Sequence
import time

import torch

from streamvlm_ros.engine.answering import (
    Answering,
    decode_together,
    feed_last_tokens,
    GREEDY,
    Sampling,
)
from streamvlm_ros.engine.branch import Branch
from streamvlm_ros.engine.chunks import EncodedChunk
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.open_question import OpenQuestion
from streamvlm_ros.engine.pieces import BranchPrompt, ChoicePrompt, finish
from streamvlm_ros.engine.prompt import Prompt
from streamvlm_ros.engine.results import Answer, Choice
from streamvlm_ros.engine.stream import FrameStream


class Questions:
    """Opens, decodes and closes the questions about one stream.

    Attributes:
        model: answers with the same one can be decoded together, whatever stream they are about.

    """

    def __init__(self, model: StreamQwenModel, prompt: Prompt, stream: FrameStream) -> None:
        """Ask about ``stream``."""
        self.model = model
        self._prompt = prompt
        self._stream = stream

    @property
    def must_wait(self) -> bool:
        """Whether no question should be opened until an open one has ended.

        A question prefills the pairs that wait, and these may have no room yet; or positions are
        to be counted anew, which no branch may see happen.
        """
        stream = self._stream
        return stream.rebase_due or (len(stream.pending) > 1 and stream.must_wait)

    @torch.inference_mode()
    def open(self, question: str, max_new_tokens: int = 128, update_state: bool = False,
             sampling: Sampling = GREEDY, began: float | None = None) -> OpenQuestion:
        """Prefill a question on a branch of its own and draw its first token.

        ``close`` or ``abandon`` must follow: until then the branch holds what it sees.

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
        began = time.perf_counter() if began is None else began
        if not 1 <= max_new_tokens <= self._stream.cache.capacity:
            raise StreamError(ErrorCode.INVALID_REQUEST,
                              f'max_new_tokens is {max_new_tokens}; give 1 to '
                              f'{self._stream.cache.capacity}.')
        asked = self._prompt.question(question)
        chunk = self._newest_frames()
        ids = self._behind_newest(chunk, asked)
        if update_state:
            self._stream.memory.check(
                len(ids) + max_new_tokens + len(self._prompt.turn_end) + 1)
        branch = Branch(self.model, self._stream.cache, self._stream.state)
        try:
            opened = OpenQuestion(question, update_state, ids, chunk, began, self._stream)
            logits = finish(branch.prefill_pieces(BranchPrompt(
                chunk, None, ids[len(chunk.ids):] if chunk else ids)))
            opened.answering = Answering(branch, logits, self._prompt, max_new_tokens, sampling)
        except BaseException:
            branch.close()
            raise
        opened.first_token()
        return opened

    @torch.inference_mode()
    def decode(self, opened: Sequence[OpenQuestion]) -> None:
        """Decode one token of every open answer that has not ended, all in one pass."""
        decode_together(self.model, [each.answering for each in opened
                                      if each.answering is not None and not each.ended])

    @torch.inference_mode()
    def close(self, opened: OpenQuestion, finish_reason: str = '') -> Answer:
        """Return the answer and free its branch; with ``update_state``, keep its turn."""
        try:
            if opened.update_state and opened.answering is not None:
                self._keep(opened, opened.answering)
            return opened.answer(finish_reason=finish_reason)
        finally:
            self.abandon(opened)

    def abandon(self, opened: OpenQuestion) -> None:
        """Free what an open question holds; nothing of it is kept.  May be called again."""
        if opened.answering is not None:
            opened.answering.branch.close()

    @torch.inference_mode()
    def choose(self, question: str, choices: Sequence[str],
               began: float | None = None) -> Answer:
        """Answer a choice question; see ``VideoStreamingInference.ask_choice``."""
        began = time.perf_counter() if began is None else began
        asked, scored = self._prompt.choice_question(question, choices)
        chunk = self._newest_frames()
        ids = self._behind_newest(chunk, asked)
        opened = OpenQuestion(question, False, ids, chunk, began, self._stream)
        [scores] = self._score([
            ChoicePrompt(chunk, None, ids[len(chunk.ids):] if chunk else ids, scored)])
        opened.first_token()
        probabilities = scores.tolist()
        best = max(range(len(choices)), key=probabilities.__getitem__)
        return opened.answer(Choice(choices[best], best, tuple(probabilities)))

    @torch.inference_mode()
    def score(self, asked: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]],
              ) -> list[tuple[float, ...]]:
        """Score choice questions, all in one pass on one branch of what is cached.

        Args:
            asked: the ids of every question and of its choices, as ``Prompt.choice_question``
                gives them.

        Returns:
            For every question, the probability of each choice.

        """
        enter = self._prompt.enter_user_turn(self._stream.place)
        scores = self._score([ChoicePrompt(None, None, [*enter, *ids], choices)
                              for ids, choices in asked])
        return [tuple(each.tolist()) for each in scores]

    def _score(self, prompts: Sequence[ChoicePrompt]) -> list[torch.Tensor]:
        branch = Branch(self.model, self._stream.cache, self._stream.state)
        try:
            return [scores.softmax(-1) for scores in finish(branch.score_pieces(prompts))]
        finally:
            branch.close()

    def _keep(self, opened: OpenQuestion, answering: Answering) -> None:
        """Make an answered branch part of the stream."""
        branch, end = answering.branch, self._prompt.turn_end
        if answering.tokens[-1] != end[0]:
            # The last token drawn was never fed.
            feed_last_tokens(self.model, [answering])
        branch.prefill(end)
        # What only this answer still read makes room for its turn.
        branch.context.let_go()
        # An answer's token has a text token's place, whatever the model has drawn.
        answer = end[:1] * (branch.context.tail.length - len(opened.ids))
        self._stream.keep_turn(opened.chunk, [*opened.ids, *answer], branch.context.tail)

    def _newest_frames(self) -> EncodedChunk | None:
        """Prefill whole pending pairs; return the odd frame's part of the question's branch."""
        if self._stream.newest is None:
            raise StreamError(ErrorCode.NO_FRAMES,
                              'No frame has come in yet; check the camera topic, or wait.')
        self._stream.flush()
        frames = self._stream.tail_frames()
        return self._stream.encode(frames) if frames else None

    def _behind_newest(self, chunk: EncodedChunk | None, asked: Sequence[int]) -> list[int]:
        """Return the branch's ids: the odd frame's chunk, if there is one, and the question."""
        place = chunk.place if chunk else self._stream.place
        return [*(chunk.ids if chunk else []), *self._prompt.enter_user_turn(place), *asked]
