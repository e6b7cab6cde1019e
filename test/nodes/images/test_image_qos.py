# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the images are subscribed to, and what is said when some get lost."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')

from rclpy.qos import ReliabilityPolicy

from streamvlm_ros.nodes.images.arrivals import Losses
from streamvlm_ros.nodes.images.image_qos import (
    choose_reliability,
    loss_sentences,
    message_facts,
    Reliability,
)

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
FAST_DDS = 'rmw_fastrtps_cpp'


@pytest.mark.parametrize(
    ('wanted', 'offers', 'is_reliable'),
    [
        ('auto', [], True),
        ('auto', [RELIABLE, RELIABLE], True),
        ('auto', [RELIABLE, BEST_EFFORT], False),
        ('auto', [ReliabilityPolicy.UNKNOWN], False),
        ('reliable', [BEST_EFFORT], True),
        ('best_effort', [RELIABLE], False),
    ],
)
def test_choice(wanted: str, offers: list[ReliabilityPolicy], is_reliable: bool) -> None:
    named = [(f'/camera_{i}', offer) for i, offer in enumerate(offers)]
    chosen = choose_reliability(wanted, named)
    assert chosen.is_reliable is is_reliable
    assert chosen.profile().reliability is (RELIABLE if is_reliable else BEST_EFFORT)


def test_who_has_decided() -> None:
    offers = [('/a', RELIABLE), ('/b', BEST_EFFORT), ('/_NODE_NAME_UNKNOWN_', BEST_EFFORT)]
    assert choose_reliability('auto', offers).reason == 'offered by /b, a publisher'
    assert choose_reliability('best_effort', offers).reason == (
        'the parameter reliability is best_effort'
    )


LOST = Losses(seconds=10.0, received=7, lost=293)


@pytest.mark.parametrize(
    ('reliability', 'implementation', 'remedy', 'has_profile'),
    [
        (Reliability(False, 'offered by /cam'), FAST_DDS, 'offered by /cam: let it publish', True),
        (Reliability(False, 'offered by /cam'), 'rmw_zenoh_cpp', 'let it publish reliab', False),
        (
            Reliability(False, 'the parameter reliability is best_effort'),
            FAST_DDS,
            'because the parameter reliability is best_effort: set reliability to auto.',
            False,
        ),
        (Reliability(True), FAST_DDS, 'qos_overrides./cam.subscription.depth', False),
    ],
)
def test_remedy(
    reliability: Reliability, implementation: str, remedy: str, has_profile: bool
) -> None:
    (said,) = loss_sentences(LOST, '/cam', reliability, implementation)
    assert said.startswith('293 of 300 images on /cam were lost on their way to the node')
    assert '(0.7 of 30.0 a second arrive)' in said
    assert remedy in said
    assert ('FASTDDS_DEFAULT_PROFILES_FILE=/' in said) is has_profile


def test_gaps() -> None:
    losses = Losses(seconds=10.0, received=200, missing=100, longest_gap=0.5, period=1 / 30)
    (said,) = loss_sentences(losses, '/cam', Reliability(True), FAST_DDS)
    assert 'have gaps of up to 0.5 s where 0.033 s are usual: about 100 images' in said
    assert loss_sentences(Losses(received=200), '/cam', Reliability(True), FAST_DDS) == []


@pytest.mark.parametrize(
    ('info', 'facts'),
    [
        ({'publication_sequence_number': 7, 'publisher_gid': {'data': b'x'}}, (7, b'x')),
        ({'publication_sequence_number': 7}, (7, b'')),
        ({'publication_sequence_number': 2**64 - 1, 'publisher_gid': {'data': b'x'}}, (None, b'')),
        ({'publication_sequence_number': None}, (None, b'')),
        ({}, (None, b'')),
    ],
)
def test_message_facts(info: object, facts: tuple[int | None, bytes]) -> None:
    assert message_facts(info) == facts
