# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One question and its answer, from the first piece of its prefill to the last token."""

from __future__ import annotations

from collections import abc
import time

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.view_room import FreshPrefix
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.outputs import Answer, Choice
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.questions.branch import Branch, BranchPrompt
from streamvlm_ros.engine.questions.fresh_frames import FreshFrames
from streamvlm_ros.engine.questions.sampler import Sampler
from streamvlm_ros.engine.questions.scoring import ChoicePrompt, score_pieces
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.view import Evidence


class Sequence(Branch):
    """A question over the stream as it stood: a branch that is prefilled, then decoded.

    Attributes:
        frames: what is read of its view before that; None: it only looks at what is cached.
        has_memory: whether it sees what is cached of the stream.
        prompt: what is prefilled.
        ids: all its ids, up to where the answer begins.
        prefilling: whether part of the prefill is left.
        choice: what a choice question was answered with; None: it is not answered, or in text.
        tokens: what was drawn so far, the stop token included; empty before the first token.
        finish_reason: ``stop`` or ``length`` once decoding has ended; empty before.
        update_state: whether question and answer are to be kept in the stream.
        sampler: chooses the answer's tokens; None: the most probable ones are taken.
        fed: all of it is in the tail, and it reads nothing of the stream any more.
        epoch: of the stream, when it was asked.

    """

    def __init__(
        self,
        model: StreamingModel,
        stream: FrameStream,
        template: Prompt,
        question: str,
        prompt: BranchPrompt,
        began: float,
        evidence: Evidence,
        frames: FreshFrames | None = None,
        fresh: FreshPrefix | None = None,
    ) -> None:
        """Open a branch over a stream, which has a frame; ``close`` must follow.

        Args:
            model: answers it.
            stream: what is asked about.
            template: says which tokens end an answer, and what its text is.
            question: as it was asked.
            prompt: what is prefilled.
            began: when it was asked, ``time.perf_counter``.
            evidence: what its answer rests on.
            frames: those that it reads afresh; None: it only looks at what is cached.
            fresh: where their keys and values go.

        """
        self.has_memory = evidence.view in ('memory', 'memory_and_now')
        state = stream.state if self.has_memory else StreamState()
        super().__init__(model, stream.cache if self.has_memory else None, state, fresh)
        assert stream.newest is not None
        self.prompt, self.frames = prompt, frames
        self.ids = [*(prompt.chunk.ids if prompt.chunk else ()), *prompt.ids]
        self.prefilling = True
        self._pieces: abc.Generator[None, None, None] | None = None
        self._choices: tuple[abc.Sequence[str], abc.Sequence[abc.Sequence[int]]] = ((), ())
        self.choice: Choice | None = None
        self.tokens: list[int] = []
        self.finish_reason = ''
        self.update_state = self.fed = False
        self._template = template
        self._question = question
        self._max_new_tokens = 0
        self.sampler: Sampler | None = None
        tokens = frames.tokens if frames is not None else 0
        self._prompt_tokens = state.length + tokens + len(self.ids)
        self._began, self._ttft = began, 0.0
        self._frame_id, self.epoch = stream.newest.frame_id, stream.epoch
        self._evidence = evidence

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to prefill or to decode."""
        return not self.prefilling and (not self.tokens or bool(self.finish_reason))

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken, if need be after a penalty."""
        return self.sampler is None or not self.sampler.params.draws

    @property
    def tokens_left(self) -> int:
        """How many tokens it may still be given."""
        return self._max_new_tokens - len(self.tokens)

    def answer_in_text(self, max_new_tokens: int, sampler: Sampler | None) -> None:
        """Set how the answer is chosen, before the prefill."""
        self._max_new_tokens, self.sampler = max_new_tokens, sampler

    def answer_by_choice(
        self, choices: abc.Sequence[str], ids: abc.Sequence[abc.Sequence[int]]
    ) -> None:
        """Set what the answer is chosen from, before the prefill: texts and their ids."""
        self._choices = choices, ids

    def prefill_next(self) -> None:
        """Run the next pass of the prefill, if one is left."""
        if not self.prefilling:
            return
        if self._pieces is None:
            # Not made earlier: it refers to the sequence, and that circle would delay the release
            # of the slots if the sequence is dropped before anything is prefilled.
            self._pieces = self._score_choices() if self._choices[0] else self._draw_first()
        try:
            next(self._pieces)
        except StopIteration:
            self._pieces, self.prefilling = None, False
            self._ttft = time.perf_counter() - self._began

    def _draw_first(self) -> abc.Generator[None, None, None]:
        """Prefill the question piece by piece, and draw the answer's first token."""
        yield from self._read_frames()
        self.take((yield from self.prefill_pieces(self.prompt)))

    def _score_choices(self) -> abc.Generator[None, None, None]:
        """Score the choices piece by piece, and take the most probable one."""
        yield from self._read_frames()
        prompt, (texts, ids) = self.prompt, self._choices
        [scores] = yield from score_pieces(
            self, [ChoicePrompt(prompt.chunk, prompt.passed_ns, prompt.ids, ids)]
        )
        probabilities = scores.softmax(-1).tolist()
        best = max(range(len(texts)), key=probabilities.__getitem__)
        images = self.frames.images if self.frames is not None else ()
        self.choice = Choice(texts[best], best, tuple(probabilities), self._evidence, images)

    def _read_frames(self) -> abc.Generator[None, None, None]:
        """Read the frames of the question's view."""
        if self.frames is not None:
            yield from self.frames.read(self)

    def take(self, logits: torch.Tensor) -> None:
        """Choose the next token from float32 logits [vocabulary]."""
        self.accept(
            int(logits.argmax())
            if self.sampler is None
            else self.sampler.choose(logits, self.tokens)
        )

    def count_last_token(self) -> None:
        """Count the last token as one whose keys and values are in the tail."""
        self.context.advance(1)
        self.state = PositionRule.decode(self.state)[1]

    def accept(self, token: int) -> None:
        """Take the next token."""
        self.tokens.append(token)
        if token in self._template.stop:
            self.finish_reason = 'stop'
        elif len(self.tokens) >= self._max_new_tokens:
            self.finish_reason = 'length'

    def close(self) -> None:
        """End what is left of the prefill, and free the branch.  May be called again."""
        pieces, self._pieces = self._pieces, None
        try:
            if pieces is not None:
                pieces.close()
        finally:
            super().close()

    def answer(self, finish_reason: str = '') -> Answer:
        """Return the answer as far as it is decoded."""
        choice, text = self.choice, self._template.text(self.tokens) if self.tokens else ''
        return Answer(
            question=self._question,
            text=choice.text if choice else text,
            choice_index=choice.index if choice else -1,
            choice_probabilities=choice.probabilities if choice else (),
            finish_reason=finish_reason or (self.finish_reason if self.tokens else 'stop'),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(self.tokens),
            time_to_first_token=self._ttft,
            total_time=time.perf_counter() - self._began,
            stamp_ns=self._evidence.last_stamp_ns,
            frame_id=self._frame_id,
            oldest_stamp_ns=self._evidence.first_stamp_ns,
            frames=self._evidence.frames,
            epoch=self.epoch,
            evidence=self._evidence,
            images=self.frames.images if self.frames is not None else (),
        )


def memory_evidence(stream: FrameStream) -> Evidence:
    """Return what an answer rests on that looks at what is cached, and at the frames that wait.

    Raises:
        StreamError: NO_FRAMES.

    """
    newest = stream.newest
    if newest is None:
        raise StreamError(
            ErrorCode.NO_FRAMES, 'No frame has come in yet; check the camera topic, or wait.'
        )
    size = stream.pending[-1].size if stream.pending else stream.size
    assert size is not None
    height, width = stream.pixels.resized(*size)
    return Evidence(
        view='memory',
        exact=not stream.memory.evicted_tokens,
        first_stamp_ns=stream.oldest_stamp_ns,
        last_stamp_ns=newest.stamp_ns,
        frames=stream.frames_held,
        stamps_ns=(),
        height=height,
        width=width,
    )
