# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The quality of service of the image subscription: reliable if every publisher offers it.

By default, Fast DDS loses most images of a best-effort topic and none of a reliable one. But a
reliable subscription receives nothing from a publisher that offers best effort only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from streamvlm_ros.environment import find_share
from streamvlm_ros.nodes.images.arrivals import Losses
from streamvlm_ros.nodes.texts import sentence

AUTO, RELIABLE = 'auto', 'reliable'  # values of the parameter reliability
DEPTH = 5  # images, as the profile of sensor data has it
POLICIES = ('history', 'depth', 'reliability')  # that qos_overrides can set
MOST_NAMED = 4  # publishers in a sentence


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How the images are subscribed to, and why.

    Attributes:
        is_reliable: a lost image is sent again; False: best effort.
        reason: what decided it: names of publishers that offer best effort only, or a
            parameter; empty: every publisher offers reliable delivery.

    """

    is_reliable: bool
    reason: str = ''

    @property
    def name(self) -> str:
        """The name that ROS tools show."""
        return 'reliable' if self.is_reliable else 'best effort'

    def profile(self) -> QoSProfile:
        """Return the profile to subscribe with."""
        policy = ReliabilityPolicy.RELIABLE if self.is_reliable else ReliabilityPolicy.BEST_EFFORT
        return QoSProfile(depth=DEPTH, reliability=policy)


def choose_reliability(
    wanted: str, offers: Sequence[tuple[str, ReliabilityPolicy]]
) -> Reliability:
    """Return how to subscribe.

    Args:
        wanted: value of the parameter `reliability`.
        offers: name and policy of every publisher of the topic. Without any, reliable is
            chosen, so that the first images of a later publisher are not lost.

    """
    if wanted != AUTO:
        return Reliability(wanted == RELIABLE, f'the parameter reliability is {wanted}')
    others = [name for name, offer in offers if offer is not ReliabilityPolicy.RELIABLE]
    return Reliability(not others, f'offered by {named(others)}' if others else '')


def override_name(topic: str, policy: str) -> str:
    """Return the name of the parameter that overrides a policy of the subscription."""
    return f'qos_overrides.{topic}.subscription.{policy}'


def loss_sentences(
    losses: Losses, topic: str, reliability: Reliability, implementation: str
) -> list[str]:
    """Return what is wrong with the arrivals and what to do about it; nothing if all is well.

    Args:
        losses: of the last seconds.
        topic: of the images, its full name.
        reliability: of the subscription.
        implementation: the middleware, as `rmw_fastrtps_cpp`.

    """
    said = []
    if losses.is_losing:
        arrived, published = losses.rates
        said.append(
            f'{losses.lost} of {losses.lost + losses.received} images on {topic} were lost on '
            f'their way to the node in the last {losses.seconds:.0f} s ({arrived:.1f} of '
            f'{published:.1f} a second arrive). {remedy(topic, reliability, implementation)}'
        )
    if losses.has_gaps:
        said.append(
            f'The stamps of the images on {topic} have gaps of up to {losses.longest_gap:.2g} s '
            f'where {losses.period:.2g} s are usual: about {losses.missing} images are missing in '
            f'the last {losses.seconds:.0f} s. Compare `ros2 topic hz {topic}` with the rate that '
            "the camera's driver is set to."
        )
    return said


def remedy(topic: str, reliability: Reliability, implementation: str) -> str:
    """Return what to do about images that are lost on their way."""
    if reliability.is_reliable:
        return (
            f'Delivery is reliable, so the node or the network is too slow for them: lower the '
            f"camera's rate or size, set image_transport to compressed, or raise the parameter "
            f'{override_name(topic, "depth")}.'
        )
    if not reliability.reason.startswith('offered by'):
        return f'Delivery is best effort, because {reliability.reason}: set reliability to auto.'
    told = (
        f'Delivery is best effort, {reliability.reason}: let it publish reliably, for example '
        f'with its parameter qos_overrides.{topic}.publisher.reliability: reliable'
    )
    profile = find_share('config/fastdds_shm.xml')
    if 'fastrtps' in implementation and profile is not None:
        told += f', or start it with FASTDDS_DEFAULT_PROFILES_FILE={profile}'
    return f'{told}.'


def named(names: Sequence[str]) -> str:
    """Return some nodes' names in a sentence."""
    # DDS finds a publisher before the node that has it.
    names = ['a publisher' if '_UNKNOWN_' in name else name for name in names]
    more = len(names) - MOST_NAMED
    return sentence(', '.join(names[:MOST_NAMED])) + (f' and {more} more' if more > 0 else '')


def event_callbacks(
    lost: Callable[[int], None], incompatible: Callable[[], None]
) -> SubscriptionEventCallbacks:
    """Return the callbacks of a subscription's events.

    Args:
        lost: takes how many messages the middleware has counted as lost so far.
        incompatible: called when a publisher is found whose offer does not suffice.
    """
    return SubscriptionEventCallbacks(
        message_lost=lambda event: lost(int(event.total_count)),
        incompatible_qos=lambda event: incompatible(),
    )


def takes_message_info() -> bool:
    """Tell whether rclpy gives a subscription's callback the number of each message."""
    return hasattr(Subscription, 'CallbackType')


def message_facts(info: Any) -> tuple[int | None, bytes]:
    """Return a message's number and its publisher, out of what rclpy tells of it."""
    number = info.get('publication_sequence_number') if info else None
    # rmw writes the largest uint64 if there is no number; since Jazzy rclpy returns None for it.
    if number is None or number >= 2**64 - 1:
        return None, b''
    publisher = info.get('publisher_gid') or {}
    return int(number), bytes(publisher.get('data', b''))
