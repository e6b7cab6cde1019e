# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tokens of a chunk and of a kept turn are, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from streamvlm_ros.engine.kvcache.entries import EntryInfo, EntryKind
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.stream.frames import Frame

Labels = list[tuple[int, EntryInfo]]


def chunk_labels(
    memory: EvictionPolicy,
    prompt: Prompt,
    place: Place,
    before: Sequence[int],
    frames: Sequence[Frame],
    grid: Grid,
    behind: Sequence[int],
) -> Labels:
    """Return how many tokens of a chunk are what.

    Args:
        memory: knows the numbers of segments and turns.
        prompt: knows what leads into a user turn.
        place: what the last cached token belongs to.
        before: the ids before the video tokens; none where the open segment goes on.
        frames: the chunk's frames, in whole temporal patches.
        grid: its merged token grid.
        behind: the ids behind the video tokens.

    """
    segment = memory.segment + bool(before)
    labels: Labels = []
    if place is Place.NOTHING:
        labels.append((len(before), EntryInfo(EntryKind.PREFIX)))
    elif before:
        labels += _lead_in(memory, prompt, place, memory.segment)
        mark = len(before) - sum(size for size, _ in labels)
        labels.append((mark, EntryInfo(EntryKind.MARK, segment)))
    for frame in frames[:: len(frames) // grid.t]:
        labels.append(
            (
                grid.h * grid.w,
                EntryInfo(EntryKind.PATCH, segment, frame.time_ns, frame.stamp_ns, frame.number),
            )
        )
    if behind:
        labels.append((len(behind), EntryInfo(EntryKind.MARK, segment)))
    return labels


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
        tokens: all of the branch's tokens.

    """
    labels = [*chunk, *_lead_in(memory, prompt, place, segment)]
    rest = tokens - sum(size for size, _ in labels)
    return [*labels, (rest, EntryInfo(EntryKind.TURN, memory.turn + 1))]


def _lead_in(memory: EvictionPolicy, prompt: Prompt, place: Place, segment: int) -> Labels:
    """Return what leads from a place into a user turn; it goes with what it ends."""
    tokens = len(prompt.enter_user_turn(place))
    label = (
        EntryInfo(EntryKind.MARK, segment)
        if place is Place.VIDEO
        else EntryInfo(EntryKind.TURN, memory.turn)
    )
    return [(tokens, label)] if tokens else []
