# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where was it seen: the index proposes moments, and the model looks at each of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
import dataclasses

from streamvlm_ros import checks
from streamvlm_ros.search.embedders import Embedder
from streamvlm_ros.search.moments import Moment, MomentIndex, refuse

MAX_LOOKS = 50
SEEN = 0.5  # a moment of a larger probability shows what was asked for
# How the index and the model are asked about a thing: in words that `tiny` was measured with.
INDEX_QUESTION = 'When did you last see {}?'
LOOK_QUESTION = 'Have you seen {}?'
CHOICES = ('yes', 'no')

# Returns the probability of 'yes' for a question about a moment.
Look = Callable[[str, Moment], float]


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A moment that shows what was asked for.

    Attributes:
        moment: which one.
        probability: that it does, as the model has it.

    """

    moment: Moment
    probability: float


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found; nothing if no moment holds.

    Attributes:
        sightings: the most probable first.
        looks: moments that the model has looked at.

    """

    sightings: tuple[Sighting, ...]
    looks: int

    @property
    def seen(self) -> bool:
        """Whether there is a sighting."""
        return bool(self.sightings)

    @property
    def last(self) -> Sighting | None:
        """The newest sighting; None: not seen."""
        return max(self.sightings, key=_stamp, default=None)

    @property
    def first(self) -> Sighting | None:
        """The oldest sighting among those looked at; None: not seen."""
        return min(self.sightings, key=_stamp, default=None)


class Finder:
    """Finds the moments that show a thing."""

    def __init__(self, index: MomentIndex, embedder: Embedder, look: Look) -> None:
        """Search ``index``, filled by ``embedder``; ``look`` asks the model about a moment."""
        self._index, self._embedder, self._look = index, embedder, look

    def find(
        self,
        what: str,
        *,
        since_ns: int = 0,
        until_ns: int = 0,
        streams: Collection[str] = (),
        max_looks: int = MAX_LOOKS,
    ) -> Finding:
        """Find a thing, for example 'a purple cross'.

        Args:
            what: the thing, with its article.
            since_ns: no older moment.
            until_ns: no newer moment; 0: up to the newest.
            streams: of these only; empty: of all.
            max_looks: moments that the model looks at, at most.

        Raises:
            StreamError: INVALID_REQUEST; errors of the index and of the model.

        """
        what = checks.text('thing to find', what).strip()
        if not what:
            refuse("The thing to find is empty; name one, for example 'a purple cross'.")
        vector = self._embedder.question(INDEX_QUESTION.format(what))
        found = self._index.search(vector, max_looks, since_ns, until_ns, streams)
        asked = LOOK_QUESTION.format(what)
        looked = [Sighting(each.moment, self._look(asked, each.moment)) for each in found]
        sightings = [each for each in looked if each.probability > SEEN]
        sightings.sort(key=lambda each: (-each.probability, -each.moment.stamp_ns))
        return Finding(tuple(sightings), len(looked))


def _stamp(sighting: Sighting) -> int:
    return sighting.moment.stamp_ns
