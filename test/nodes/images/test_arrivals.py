# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is counted as lost: by the messages' numbers, the middleware, and the header stamps."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from streamvlm_ros.nodes.images.arrivals import Arrivals, WINDOW

PERIOD = 1 / 30  # seconds


def arrivals(*, has_stamps: bool = True) -> Arrivals:
    return Arrivals(0.0, has_stamps=has_stamps)


def play(
    counted: Arrivals, frames: Iterable[int], *, numbered: bool = True, publisher: bytes = b'a'
) -> float:
    """Let these frames of a 30 Hz camera arrive; return the time of the last one."""
    now = 0.0
    for frame in frames:
        now = frame * PERIOD
        stamp = 1_000_000_000_000 + round(now * 1e9)
        counted.take(stamp, frame if numbered else None, publisher, now)
    return now


def test_nothing_is_lost() -> None:
    counted = arrivals()
    losses = counted.look(play(counted, range(100)))
    assert (losses.received, losses.lost, losses.missing, losses.total) == (100, 0, 0, 0)
    assert not losses.is_losing and not losses.has_gaps
    assert losses.rates == pytest.approx((30.0, 30.0), rel=0.02)


def test_seven_of_450_arrive() -> None:
    """Both rates are known, though only a few images are."""
    counted = arrivals()
    end = play(counted, [100, 101, 180, 233, 300, 301, 399])
    losses = counted.look(end)
    assert losses.is_losing
    assert (losses.received, losses.lost) == (7, 293)
    assert losses.rates == pytest.approx((7 / end, 300 / end))


def test_what_the_middleware_tells_counts_where_no_image_arrives() -> None:
    counted = arrivals()
    counted.tell_lost(40)
    losses = counted.look(2.0)
    assert losses.is_losing and losses.lost == losses.total == 40


def test_a_loss_is_counted_once_though_two_tell_of_it() -> None:
    counted = arrivals()
    play(counted, [0, 1, 5])
    counted.tell_lost(3)
    losses = counted.look(1.0)
    assert (losses.lost, losses.missing) == (3, 0)


def test_a_few_are_no_matter() -> None:
    counted = arrivals()
    losses = counted.look(play(counted, [n for n in range(200) if n % 40]))
    assert losses.lost == 4 and not losses.is_losing
    counted = arrivals()
    losses = counted.look(play(counted, [0, 3, 4]))
    assert losses.lost == 2 and not losses.is_losing


def test_losses_are_forgotten_after_a_while() -> None:
    counted = arrivals()
    play(counted, [0, 60])
    assert counted.look(2.0).is_losing
    for second in range(3, 3 + round(WINDOW)):
        losses = counted.look(float(second))
    assert not losses.is_losing and losses.total == 59


def test_a_publisher_that_starts_anew_has_lost_nothing() -> None:
    counted = arrivals(has_stamps=False)
    play(counted, range(100, 110))
    play(counted, range(10))
    play(counted, range(500, 510), publisher=b'b')
    assert counted.look(1.0).lost == 0


def test_other_publishers_that_cannot_be_told_apart() -> None:
    counted = arrivals(has_stamps=False)
    play(counted, range(10), publisher=b'')
    counted.forget_numbers()
    play(counted, range(500, 510), publisher=b'')
    assert counted.look(1.0).lost == 0


def test_a_new_subscription_counts_from_zero() -> None:
    counted = arrivals()
    counted.tell_lost(40)
    assert counted.look(1.0).is_losing
    counted.restart()
    losses = counted.look(2.0)
    assert (losses.lost, losses.total) == (0, 40)
    counted.tell_lost(5)
    assert counted.look(3.0).total == 45


def test_a_pause_between_two_subscriptions_is_no_gap() -> None:
    counted = arrivals()
    play(counted, range(60))
    counted.restart()
    losses = counted.look(play(counted, range(180, 240)))
    assert (losses.lost, losses.missing, losses.longest_gap) == (0, 0, 0.0)


@pytest.mark.parametrize('numbered', [True, False])
def test_gaps_in_stamps(numbered: bool) -> None:
    """Without numbers they are all that is known; with numbers, they are the camera's own."""
    counted = arrivals()
    now = 0.0
    kept = [n for n in range(90) if n < 30 or n % 3]
    for number, frame in enumerate(kept):
        now = frame * PERIOD
        counted.take(10**12 + round(now * 1e9), number if numbered else None, b'', now)
    losses = counted.look(now)
    assert losses.lost == 0 and not losses.is_losing
    assert losses.has_gaps and losses.missing == 20
    assert losses.longest_gap == pytest.approx(2 * PERIOD, rel=0.01)
    assert losses.period == pytest.approx(PERIOD, rel=0.01)


@pytest.mark.parametrize(
    'intervals',
    [
        [30, 36, 33, 40, 27, 33] * 10,  # jitter
        [5, 61] * 30,  # two at once
        [33] * 30 + [30_000] + [33] * 30,  # it was stopped, and goes on
        [33] * 30 + [-900] + [33] * 30,  # a bag begins again
        [0, 33] * 30,  # each twice
        [33] * 30 + [66] + [33] * 30,  # one is missing
    ],
)
def test_stamps_without_a_gap_to_tell(intervals: list[int]) -> None:
    counted = arrivals()
    stamp, now = 10**12, 0.0
    for interval in intervals:
        stamp += interval * 1_000_000
        now += 0.033
        counted.take(stamp, None, b'', now)
    assert not counted.look(now).has_gaps


def test_stamps_that_mean_nothing() -> None:
    counted = arrivals(has_stamps=False)
    play(counted, [n for n in range(90) if n % 10 < 5], numbered=False)
    assert not counted.look(3.0).has_gaps
