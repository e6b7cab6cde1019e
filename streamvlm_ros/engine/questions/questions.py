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
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.questions.branch import Branch, BranchPrompt, finish
from streamvlm_ros.engine.questions.decoder import Decoder
from streamvlm_ros.engine.questions.own_embedder import OwnEmbedder
from streamvlm_ros.engine.questions.sampler import Sampler, SamplingParams
from streamvlm_ros.engine.questions.scoring import ChoicePrompt, score_pieces
from streamvlm_ros.engine.questions.sequence import memory_evidence, Sequence
from streamvlm_ros.engine.questions.views import Views
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.engine.stream.turns import keep_turn
from streamvlm_ros.view import MEMORY, View, ViewName


class Questions:
    """Opens, decodes and closes the questions about one stream.

    Attributes:
        model: answers with the same one can be decoded together, whatever stream they are about.
        views: what questions can look at.

    """

    def __init__(
        self, model: StreamingModel, prompt: Prompt, stream: FrameStream, views: Views
    ) -> None:
        """Ask about ``stream``."""
        self.views = views
        self.model, self._decoder = model, Decoder.of(model)
        self._generation = model.generation
        usual = SamplingParams.of(AnswerSettings(), self._generation)
        self._usual = None if usual.plain else usual
        self._prompt = prompt
        self._stream = stream

    @property
    def must_wait(self) -> bool:
        """Whether no question about the memory should be opened until an open one has ended.

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
        view: View | ViewName = 'memory',
        return_frames: bool = False,
    ) -> Sequence:
        """Prefill a question on a branch of its own and draw its first token; see ``begin``."""
        sequence = self.begin(
            question, max_new_tokens, update_state, settings, began, view, return_frames
        )
        self._finish_prefill(sequence)
        return sequence

    def choose(
        self,
        question: str,
        choices: abc.Sequence[str],
        view: View | ViewName = 'memory',
        return_frames: bool = False,
    ) -> Answer:
        """Answer a choice question; see ``VideoStreamingInference.ask_choice``."""
        sequence = self.begin_choice(question, choices, None, view, return_frames)
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
        view: View | ViewName = 'memory',
        return_frames: bool = False,
    ) -> Sequence:
        """Open a question on a branch of its own; ``advance`` prefills it piece by piece.

        The stream stays as it is, to the byte: frames that wait for their chunk to fill go into
        the branch.  ``close`` or ``abandon`` must follow; until then what the branch sees is not
        evicted.  A view without memory sees, and holds, nothing of the stream.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: ``close`` is to keep question and answer in the stream, which must not
                change until then.
            settings: how tokens are chosen; None: as the model's own settings say, the most
                probable one.
            began: when the question was asked (``time.perf_counter``), if that was earlier.
            view: what it looks at.
            return_frames: give the view's frames with the answer.

        Raises:
            StreamError: INVALID_REQUEST, NO_FRAMES, or OUT_OF_MEMORY.  A StillReadError: as many
                views are open as there is room for.

        """
        view = View.of(view)
        max_new_tokens = checks.integer('max_new_tokens', max_new_tokens)
        update_state = checks.flag('update_state', update_state)
        if not 1 <= max_new_tokens <= self._stream.cache.capacity:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'max_new_tokens is {max_new_tokens}; give 1 to {self._stream.cache.capacity}.',
            )
        if update_state and view.has_fresh_frames:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The view is {view.name!r}; only an answer from the memory can be kept in the '
                "stream: leave out update_state, or choose the view 'memory'.",
            )
        asked = self._prompt.question(question)
        # The answer's last token, fed or not, and the end of its turn.
        room = max_new_tokens + len(self._prompt.turn_end) + 1 if update_state else 0
        sequence = self._begin(question, asked, began, view, return_frames, room)
        sequence.update_state = update_state
        sequence.answer_in_text(max_new_tokens, self._sampler(sequence, settings))
        return sequence

    @torch.inference_mode()
    def begin_choice(
        self,
        question: str,
        choices: abc.Sequence[str],
        began: float | None = None,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
    ) -> Sequence:
        """Open a choice question; otherwise as ``begin``.  ``close`` gives the answer."""
        asked, scored = self._prompt.choice_question(question, choices)
        sequence = self._begin(question, asked, began, View.of(view), return_frames)
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
        view: View = MEMORY,
    ) -> list[tuple[float, ...]]:
        """Score choice questions, all in one pass on one branch of what is cached.

        Args:
            asked: the ids of every question and of its choices, as ``Prompt.choice_question``
                gives them.
            view: what they look at; of ``memory`` without the frames that wait for their chunk.

        Returns:
            For every question, the probability of each choice.

        """
        stream, enter = self._stream, []
        cache, state = (stream.cache, stream.state) if view.has_memory else (None, StreamState())
        if view.has_fresh_frames:
            frames = self.views.look(view)
            branch = Branch(self.model, cache, state, self.views.watch_place())
        else:
            enter = self._prompt.enter_user_turn(stream.place)
            branch = Branch(self.model, cache, state)
        try:
            if view.has_fresh_frames:
                finish(frames.read(branch))
            scores = finish(
                score_pieces(
                    branch,
                    [ChoicePrompt(None, None, [*enter, *ids], choices) for ids, choices in asked],
                )
            )
        finally:
            branch.close()
        return [tuple(each.softmax(-1).tolist()) for each in scores]

    def embedder(self) -> OwnEmbedder:
        """Return what makes vectors of moments and of questions with this model."""
        return OwnEmbedder(self.model, self._prompt, self._stream.pixels)

    def _begin(
        self,
        question: str,
        asked: abc.Sequence[int],
        began: float | None,
        view: View,
        return_frames: bool,
        room: int = 0,
    ) -> Sequence:
        """Open a branch for a question's ids, after the frames and the time that are not cached.

        Args:
            question: as it was asked.
            asked: its ids.
            began: when it was asked.
            view: what it looks at.
            return_frames: keep the frames that are read for it.
            room: further tokens that the stream must have room for, if all are to be kept.

        """
        stream, views = self._stream, self.views
        began = time.perf_counter() if began is None else began
        if checks.flag('return_frames', return_frames) and not view.has_fresh_frames:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'return_frames needs frames that are read for the question, and the view is '
                f'{view.name!r}, whose pictures are not kept; choose another view.',
            )
        if view.has_memory and stream.newest is not None:
            stream.catch_up()
        if view.has_fresh_frames:
            frames = views.look(view, return_frames)
            evidence = views.evidence(view, frames.frames)
            prompt = BranchPrompt(None, None, [*asked])
            fresh = views.room.take()
            try:
                fresh.reserve(frames.tokens)
                return Sequence(
                    self.model,
                    stream,
                    self._prompt,
                    question,
                    prompt,
                    began,
                    evidence,
                    frames,
                    fresh,
                )
            except BaseException:
                fresh.close()
                raise
        evidence = memory_evidence(stream)
        chunk = stream.waiting_chunk()
        enter = self._prompt.enter_user_turn(chunk.place if chunk else stream.place)
        prompt = BranchPrompt(chunk, stream.skipped_ns, [*enter, *asked])
        if room:
            stream.memory.check((len(chunk.ids) if chunk else 0) + len(prompt.ids) + room)
        return Sequence(self.model, stream, self._prompt, question, prompt, began, evidence)

    def _sampler(self, sequence: Sequence, settings: AnswerSettings | None) -> Sampler | None:
        """Return what chooses an answer's tokens; None: the most probable ones are taken."""
        params = self._usual if settings is None else SamplingParams.of(settings, self._generation)
        if params is None or params.plain:
            return None
        ids = frozenset(sequence.ids)
        if sequence.has_memory:
            ids |= self._stream.cache.ids
        if sequence.frames is not None:
            ids |= sequence.frames.ids
        return Sampler(params, ids)

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
