# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the entries of a file are a stream's: their order, their positions, their frames.

What holds for every stream, however often it has evicted entries and counted positions anew:

- The prefix is first.  A vision segment's patches follow each other; what opens it is right before
  them, and what closes it right after them, unless they are the newest.
- Text stands at consecutive positions, alike on all three axes, above all positions before it.
- A segment's patches have one origin in H and W, right after what opens it, and one grid.  From
  one patch to the next T goes on as their times do.  In the open segment T is what the position
  rule says.
- If every temporal patch is a segment of its own, the prefix has the time that the texts before
  the patches count from.
- The state's largest position follows from the open segment, or is that of the last token.
"""

from __future__ import annotations

from collections.abc import Sequence
import itertools
from typing import NoReturn

import numpy as np

from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryInfo, EntryKind
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import grid_of
from streamvlm_ros.engine.models.prompt import Place
from streamvlm_ros.engine.positions import Grid, Segment
from streamvlm_ros.engine.store.fields import UnfitError
from streamvlm_ros.engine.stream.saving.about import About
from streamvlm_ros.engine.stream.saving.bounds import SavedBounds


def check_entries(entries: Sequence[CacheEntry], about: About, bounds: SavedBounds) -> None:
    """Refuse entries that are not those of the stream that is described.

    Raises:
        UnfitError: a rule of this module is broken.

    """
    if sum(entry.tokens for entry in entries) != about.state.length:
        raise UnfitError('its entries have more or fewer tokens than its state')
    if not entries:
        _check_nothing_cached(about)
        return
    _check_order(entries, about, bounds)
    _check_place(entries[-1].info, about, bounds)
    _check_frames(entries, about, bounds)
    _check_positions(entries, about, bounds)


def _check_nothing_cached(about: About) -> None:
    state, counters = about.state, about.counters
    if (
        about.place is not Place.NOTHING
        or state.last_cache_position != -1
        or state.segment is not None
        or about.size is not None
        or about.landmarks['seen'] is not None
        or (counters['segment'], counters['turn'], counters['evicted_tokens']) != (-1, -1, 0)
    ):
        raise UnfitError('it has no entries, but a state of some')


def _check_order(entries: Sequence[CacheEntry], about: About, bounds: SavedBounds) -> None:
    """Check kinds, groups and numbers of tokens."""
    first, counters = entries[0], about.counters
    began = first.info.time_ns if bounds.each_patch_opens else 0
    prefix = EntryInfo(EntryKind.PREFIX, time_ns=began)
    if first.info != prefix or first.tokens != bounds.prefix:
        raise UnfitError('it does not begin with the prefix')
    for before, entry in itertools.pairwise(entries):
        if not _follows(before.info, entry.info):
            raise UnfitError(f'{entry.info.kind.name} cannot stand after {before.info.kind.name}')
        if entry.first < before.first + before.tokens:
            raise UnfitError('its entries are not in the order in which they came')
    for kinds, name in (
        ((EntryKind.MARK, EntryKind.PATCH), 'segment'),
        ((EntryKind.TURN,), 'turn'),
    ):
        groups = [entry.info.group for entry in entries if entry.info.kind in kinds]
        if groups != sorted(groups) or counters[name] < max(groups, default=-1):
            raise UnfitError(f'its {name}s are not counted from the oldest to the newest')
    if first.ids != bounds.prefix_ids or any(
        entry.ids != {bounds.pad}
        if entry.info.kind is EntryKind.PATCH
        else max(entry.ids) >= bounds.vocabulary
        for entry in entries
    ):
        raise UnfitError('the ids of its entries are not those of such entries')
    least, most = bounds.opening
    if any(
        entry.info.kind is EntryKind.MARK
        and not (least <= entry.tokens <= most or entry.tokens == bounds.closing)
        for entry in entries
    ):
        raise UnfitError('what begins or ends a vision segment is longer or shorter than that')


def _follows(before: EntryInfo, label: EntryInfo) -> bool:
    """Tell whether an entry can stand after another one."""
    same = before.group == label.group
    match before.kind, label.kind:
        case EntryKind.PREFIX, EntryKind.PATCH:
            return label.group == 0
        case (EntryKind.PATCH, EntryKind.PATCH | EntryKind.MARK) | (
            EntryKind.MARK,
            EntryKind.PATCH,
        ):
            return same
        case (EntryKind.PREFIX | EntryKind.MARK, EntryKind.MARK | EntryKind.TURN) | (
            EntryKind.TURN,
            EntryKind.MARK | EntryKind.TURN,
        ):
            return True
    return False


def _check_place(last: EntryInfo, about: About, bounds: SavedBounds) -> None:
    """Check where the prompt stands."""
    segment, place = about.state.segment, about.place
    allowed = (
        Place.TURN_END,
        Place.USER_TURN if bounds.chunks_close else Place.VIDEO,
    )
    if place not in allowed or (segment is not None) != (place is Place.VIDEO):
        raise UnfitError('its place in the prompt does not fit its state')
    if about.counters['segment'] < 0 or (place is Place.TURN_END and about.counters['turn'] < 0):
        raise UnfitError('its place in the prompt does not fit its counters')
    if last.kind is EntryKind.PATCH and (
        place is not Place.VIDEO or last.group != about.counters['segment']
    ):
        raise UnfitError('its last entry is a patch of a vision segment that is not open')
    if segment is None:
        return
    if (
        segment.last_ns < segment.start_ns
        or about.size is None
        or grid_of(about.size, bounds.pixels.temporal_patch_size, bounds.pixels)
        != Grid(1, segment.rows, segment.columns)
    ):
        raise UnfitError('the open vision segment does not fit the size of its frames')
    reached = segment.origin + bounds.rule.time.steps(segment, segment.last_ns)
    sides = segment.origin + max(segment.rows, segment.columns) - 1
    if about.state.last_cache_position != max(reached, sides):
        raise UnfitError('its largest position does not follow from the open vision segment')


def _check_frames(entries: Sequence[CacheEntry], about: About, bounds: SavedBounds) -> None:
    """Check numbers, times and stamps of the patches' frames."""
    stamped = bounds.settings.time_source == 'stamp'
    patches = [entry.info for entry in entries if entry.info.kind is EntryKind.PATCH]
    others = [entry.info for entry in entries[1:] if entry.info.kind is not EntryKind.PATCH]
    if any(label.time_ns or label.stamp_ns or label.frame for label in others):
        raise UnfitError('an entry that is not a patch has a frame')
    began = entries[0].info.time_ns
    if bounds.each_patch_opens and patches:
        oldest = patches[0]
        if oldest.time_ns < began or (oldest.group == 0 and oldest.time_ns != began):
            raise UnfitError('its oldest patch does not fit the time at which it began')
    known = {
        frame.number: frame
        for frame in (*about.pending, *about.landmarks.values())
        if frame is not None
    }
    for label in patches:
        same = known.get(label.frame)
        if (stamped and label.time_ns != label.stamp_ns) or (
            same is not None and (same.time_ns, same.stamp_ns) != (label.time_ns, label.stamp_ns)
        ):
            raise UnfitError('the times of a patch do not fit each other')
    for before, label in itertools.pairwise(patches):
        if label.frame <= before.frame or label.time_ns < before.time_ns:
            raise UnfitError('its patches are not in the order of their frames')
    seen, newest = about.landmarks['seen'], patches[-1] if patches else EntryInfo()
    if seen is None or newest.frame > seen.number or newest.time_ns > seen.time_ns:
        raise UnfitError('its newest patch is newer than the newest frame that was seen')
    segment = about.state.segment
    reached = newest.time_ns if segment is None else segment.last_ns
    if reached > seen.time_ns or any(
        frame.number <= seen.number or frame.time_ns < seen.time_ns for frame in about.pending
    ):
        raise UnfitError('its frames are older than what was seen')


def _check_positions(entries: Sequence[CacheEntry], about: About, bounds: SavedBounds) -> None:
    """Check where every token stands."""
    state, top = about.state, -1
    before: _PatchPlace | None = None
    for index, entry in enumerate(entries):
        positions = _of(entry)
        if entry.info.kind is not EntryKind.PATCH:
            start = int(positions[0, 0])
            if (
                (positions != start + np.arange(entry.tokens)).any()
                or start <= top
                or (not index and start)
            ):
                _misplaced(entry)
            top, before = start + entry.tokens - 1, None
            continue
        place = _PatchPlace(entry, positions)
        if before is None:
            if place.origin != top + 1:
                _misplaced(entry)
        elif not place.goes_on(before, bounds.rule):
            _misplaced(entry)
        if place.t < place.origin:
            _misplaced(entry)
        if state.segment is not None and entry.info.group == about.counters['segment']:
            _check_open(place, entry, entries[index - 1], state.segment, bounds)
        top, before = max(top, place.largest), place
    last = entries[-1].info
    whole = (last.kind, last.group) in (
        (EntryKind.MARK, about.counters['segment']),
        (EntryKind.TURN, about.counters['turn']),
    )
    if state.last_cache_position < top or (
        state.segment is None
        and whole
        and _ends_at(last.kind, about.place)
        and state.last_cache_position != top
    ):
        raise UnfitError('its largest position is not that of its entries')


def _ends_at(kind: EntryKind, place: Place) -> bool:
    """Tell whether the newest token is there: what came last may have been evicted."""
    return (kind, place) in ((EntryKind.MARK, Place.USER_TURN), (EntryKind.TURN, Place.TURN_END))


class _PatchPlace:
    """Where a patch stands.

    Attributes:
        t: on the T axis.
        origin: where its rows and columns begin.
        rows, columns: of its grid.
        time_ns: its time.

    """

    def __init__(self, entry: CacheEntry, positions: np.ndarray) -> None:
        """Read it off positions [3, tokens]; raises UnfitError where they are no patch's."""
        self.t, self.origin = int(positions[0, 0]), int(positions[2, 0])
        self.columns = int((positions[1] == positions[1, 0]).sum())
        self.rows = entry.tokens // self.columns
        self.time_ns = entry.info.time_ns
        token = np.arange(entry.tokens)
        if (
            entry.tokens % self.columns
            or (positions[0] != self.t).any()
            or (positions[1] != self.origin + token // self.columns).any()
            or (positions[2] != self.origin + token % self.columns).any()
        ):
            _misplaced(entry)

    @property
    def largest(self) -> int:
        """The largest position on any axis."""
        return max(self.t, self.origin + max(self.rows, self.columns) - 1)

    def goes_on(self, before: _PatchPlace, rule: PositionRule) -> bool:
        """Tell whether it can be the next patch of the same vision segment."""
        same = (self.origin, self.rows, self.columns) == (
            before.origin,
            before.rows,
            before.columns,
        )
        return same and rule.time.can_follow(self.time_ns - before.time_ns, self.t - before.t)


def _check_open(
    place: _PatchPlace,
    entry: CacheEntry,
    before: CacheEntry,
    segment: Segment,
    bounds: SavedBounds,
) -> None:
    """Check a patch of the open vision segment."""
    if (
        (place.origin, place.rows, place.columns)
        != (segment.origin, segment.rows, segment.columns)
        or not segment.start_ns <= place.time_ns <= segment.last_ns
        or place.t != segment.origin + bounds.rule.time.steps(segment, place.time_ns)
    ):
        _misplaced(entry)
    # Its first patch is where its time begins, if nothing was evicted before it.
    begins = (
        before.info.kind is not EntryKind.PATCH
        and place.t == place.origin
        and before.first + before.tokens == entry.first
        and not segment.rebased
    )
    if begins and place.time_ns != segment.start_ns:
        _misplaced(entry)


def _misplaced(entry: CacheEntry) -> NoReturn:
    raise UnfitError(f'the positions of an entry {entry.info.kind.name} are not those of one')


def _of(entry: CacheEntry) -> np.ndarray:
    assert entry.positions is not None
    return entry.positions.numpy()
