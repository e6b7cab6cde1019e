# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions that are kept: an answered branch becomes part of the stream."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch

from streamvlm_ros.engine.kvcache.entries import EntryInfo, EntryKind
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.kvcache.tail import Tail
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.stream.chunks import EncodedChunk, Labels, lead_in
from streamvlm_ros.engine.stream.stream import FrameStream


def keep_turn(
    stream: FrameStream,
    prompt: Prompt,
    chunk: EncodedChunk | None,
    asked: Sequence[int],
    answer: Sequence[int],
    tail: Tail,
) -> None:
    """Make an answered branch part of its stream; turns above ``kept_turns`` are evicted.

    Args:
        stream: what the branch was opened on, unchanged since.
        prompt: the stream's.
        chunk: the waiting frames that the branch began with; None: there were none.
        asked: the branch's tokens up to where its answer begins.
        answer: those after that, up to the end of the turn.
        tail: their keys and values.

    Raises:
        StreamError: OUT_OF_MEMORY, or a StillReadError if open answers read what would have to be
            evicted.  The stream is as it was.

    """
    cache, memory = stream.cache, stream.memory
    # A token of an answer is placed as text, even if the model has drawn a video token.
    ids = [*asked, *prompt.turn_end[:1] * len(answer)]
    place, segment = stream.place, memory.segment
    with stream.undone_by_a_fault():
        stream.make_room(
            len(ids),
            chunk.times_ns if chunk else (),
            chunk is not None and chunk.segment == segment,
        )
        if chunk:
            place, segment = chunk.place, chunk.segment
        rule, before = stream.rule, len(chunk.ids) if chunk else 0
        positions, state = rule.place(stream.state, ids[:before], chunk.parts if chunk else [])
        if stream.skipped_ns is not None:
            state = rule.pass_time(state, stream.skipped_ns)
        more, state = rule.place(state, ids[before:])
        positions = torch.cat([positions, more], dim=1)
        labels = turn_labels(
            memory, prompt, place, segment, chunk.labels if chunk else [], len(ids)
        )
        cache.reserve(len(ids))
        for layer in range(len(cache.keys)):
            cache.store(layer, *tail.view(layer, 0, len(ids)))
        cache.advance(len(ids))
        cache.label(labels, positions, [*asked, *answer])
        memory.segment, memory.turn = segment, memory.turn + 1
        memory.drop_turns()
        stream.state = dataclasses.replace(state, length=cache.length)
        stream.place = Place.TURN_END
    if chunk:
        stream.size = stream.pending[-1].size
    # The waiting frames were completed in the branch, which is now part of the stream.
    stream.pending, stream.left_out, stream.skipped_ns = [], 0, None
    stream.seen = stream.paired = stream.newest
    # The next patch is kept even if it is still: the answer was about what came before it.
    stream.still.kept = None
    stream.keep_in_range()


def turn_labels(
    memory: EvictionPolicy, prompt: Prompt, place: Place, segment: int, chunk: Labels, tokens: int
) -> Labels:
    """Return how many tokens of a branch that is kept are what.

    Args:
        memory: knows the numbers of segments and turns.
        prompt: knows what leads into a user turn.
        place: what the last token before the question belongs to.
        segment: number of the vision segment there.
        chunk: what the branch's tokens before the question are.
        tokens: how many tokens the branch has.

    """
    labels = [*chunk, *lead_in(memory, prompt, place, segment)]
    rest = tokens - sum(size for size, _ in labels)
    return [*labels, (rest, EntryInfo(EntryKind.TURN, memory.turn + 1))]
