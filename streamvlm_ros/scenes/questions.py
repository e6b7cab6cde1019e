# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Questions about a scene with answers from the generator's truth.

A question is asked only where the frames up to that moment settle it: nothing is asked about
things that are half in the picture, events within the last moments, or places between zones.
"""

from __future__ import annotations

from streamvlm_ros.scenes.history import age, AGES, Chronicle, SEEN_S, STEADY_S
from streamvlm_ros.scenes.moment import Moment, Question, REFUSAL
from streamvlm_ros.scenes.phrases import OUTSIDE
from streamvlm_ros.scenes.scene import Scene
from streamvlm_ros.scenes.things import COLOURS, LIGHT_COLOURS, SHAPES
from streamvlm_ros.scenes.window import WHOLE, Window

__all__ = ['choice_prompt', 'FAMILIES', 'Question', 'questions_for', 'REFUSAL']

FAMILIES = (
    'colour',
    'shape',
    'count',
    'direction',
    'last',
    'order',
    'when',
    'light',
    'seen',
    'where',
    'unanswerable',
)


class _Asker(Moment):
    """Collects the questions of one scene at one moment, family by family."""

    def ask_looks(self) -> None:
        """Ask for colours by shape and shapes by colour, where that names one thing."""
        if not self.clear:
            return
        for h in self.seen:
            thing = h.thing
            things = [*(h.thing for h in self.all), *self.window.others]
            if sum(other.shape == thing.shape for other in things) == 1:
                self.add(
                    'colour',
                    'colour',
                    thing.colour,
                    list(COLOURS),
                    x=thing.shape,
                    past=not h.recent,
                )
            if sum(other.colour == thing.colour for other in things) == 1:
                self.add(
                    'shape', 'shape', thing.shape, list(SHAPES), x=thing.colour, past=not h.recent
                )

    def ask_count(self) -> None:
        """Ask how many there are and how many there have been."""
        digits = [str(n) for n in range(6)]
        if all(h.now != 'unclear' for h in self.all):
            count = sum(h.now == 'in' for h in self.all)
            self.add('count', 'count_now', str(count), digits)
        if self.clear and self.window == WHOLE:
            gone = any(not h.recent for h in self.seen)
            self.add('count', 'count_ever', str(len(self.seen)), digits, past=gone)

    def ask_motion(self) -> None:
        """Ask which way things moved that moved one way or not at all."""
        for h in self.seen:
            places, times = h.thing.places, h.thing.times
            if h.thing.kind == 'returns' or h.thing.name in self.elsewhere:
                continue
            if times[0] < self.window.since > min(self.at, times[-1]) - 1.2:
                continue  # it was over, or nearly, when the window began
            began = h.thing.kind != 'stands' and self.at > times[0] + 1.2
            if h.thing.kind == 'stands' or self.at < times[0]:
                answer = 'not at all'
            elif began:
                answer = 'left' if places[-1] < places[0] else 'right'
            else:
                continue
            past = began and times[-1] < self.at - 2.0
            self.add(
                'direction',
                'direction',
                answer,
                ['left', 'right', 'not at all'],
                x=h.thing.name,
                past=past,
            )

    def ask_last(self) -> None:
        """Ask what came in last and what left last."""
        if not self.clear or any(h.now == 'unclear' for h in self.all):
            return
        for key, events in (
            ('last_in', sorted((t, h.thing.name) for h in self.seen for t in h.entered)),
            ('last_out', sorted((t, h.thing.name) for h in self.seen for t in h.left)),
        ):
            if not events or (len(events) > 1 and events[-1][0] - events[-2][0] < 1.0):
                continue
            if events[-1][0] < self.since:
                continue
            self.add('last', key, events[-1][1], self.names(4), past=events[-1][0] < self.at - 2.0)

    def ask_order(self) -> None:
        """Ask which of two came in first, and whether before or after the light changed."""
        came = [
            h
            for h in self.seen
            if len(h.entered) == 1
            and not h.left[:-1]
            and h.thing.kind in ('enters', 'passes')
            and self.settled(h)
        ]
        for i, a in enumerate(came):
            for b in came[i + 1 :]:
                if abs(a.entered[0] - b.entered[0]) < 1.0:
                    continue
                x, y = (a, b) if self.rng.random() < 0.5 else (b, a)
                first = min(a, b, key=lambda h: h.entered[0]).thing.name
                self.add(
                    'order',
                    'order',
                    first,
                    [a.thing.name, b.thing.name],
                    x=x.thing.name,
                    y=y.thing.name,
                    past=True,
                )
        light = self.scene.light
        if light is None or self.window.light:
            return
        for t, colour in zip(light.times[1:], light.colours[1:]):
            if not self.since <= t <= self.at - SEEN_S or light.colours.count(colour) > 1:
                continue
            for h in came:
                if abs(h.entered[0] - t) < 1.0:
                    continue
                answer = 'before' if h.entered[0] < t else 'after'
                self.add(
                    'order',
                    'order_light',
                    answer,
                    ['before', 'after'],
                    x=h.thing.name,
                    y=colour,
                    past=True,
                )

    def ask_when(self) -> None:
        """Ask how long ago things came in and the light changed, which only time stamps tell."""
        for h in self.seen:
            if len(h.entered) == 1 and h.thing.kind in ('enters', 'passes') and self.settled(h):
                self._add_age('when', h.thing.name, h.entered[0])
        light = self.scene.light
        if light is None or self.window.light:
            return
        for t, colour in zip(light.times[1:], light.colours[1:]):
            if self.since <= t < self.at - STEADY_S and light.colours.count(colour) == 1:
                self._add_age('when_light', colour, t)

    def _add_age(self, key: str, x: str, since: float) -> None:
        answer = age(self.scene.elapsed(since, self.at))
        if answer is not None:
            self.add('when', key, AGES[answer], list(AGES), x=x, past=self.at - since > 2.0)

    def ask_light(self) -> None:
        """Ask for the light's colour now, at first and before the last change."""
        light = self.scene.light
        if light is None:
            return
        changes = [t for t in light.times[1:] if t <= self.at]
        if changes and changes[-1] > self.at - STEADY_S:
            return
        colours = list(LIGHT_COLOURS)
        self.add('light', 'light_now', light.colour(self.at), colours)
        if not self.window.cut and all(t >= self.since for t in changes):
            self.add(
                'light',
                'light_first',
                light.colours[0],
                colours,
                past=bool(changes) and changes[0] < self.at - 2.0,
            )
        if changes and changes[-1] >= self.since:
            self.add(
                'light',
                'light_before',
                light.colours[len(changes) - 1],
                colours,
                past=changes[-1] < self.at - 2.0,
            )

    def ask_seen(self) -> None:
        """Ask whether there was a thing: one that was, and one that was not but nearly."""
        if not self.clear:
            return
        names = {thing.name for thing in self.things}
        for thing in self.window.others:
            self.add('seen', 'seen', 'yes', ['no'], x=thing.name, past=True)
        for h in self.seen:
            self.add('seen', 'seen', 'yes', ['no'], x=h.thing.name, past=not h.recent)
            if self.rng.random() < 0.5:
                near = f'{self.rng.choice(COLOURS)} {h.thing.shape}'
            else:
                near = f'{h.thing.colour} {self.rng.choice(SHAPES)}'
            if near not in names:
                self.add('seen', 'seen', 'no', ['yes'], x=near, past=not h.recent)

    def ask_where(self) -> None:
        """Ask where the things in view are, if they have been well inside a zone."""
        for h in self.all:
            if h.now != 'in' or h.status != 'seen':
                continue
            xs = [self.scene.screen_x(h.thing, self.at - d) for d in (0.0, 0.4, STEADY_S)]
            for zone, low, high in (
                ('left', 0.0, 0.31),
                ('middle', 0.39, 0.61),
                ('right', 0.69, 1.0),
            ):
                if all(low <= x <= high for x in xs):
                    self.add('where', 'where', zone, ['left', 'middle', 'right'], x=h.thing.name)

    def ask_unanswerable(self) -> None:
        """Ask about things never seen, a light that is not there, and the world outside."""
        rng = self.rng
        families: list[tuple[str, list[str], str]] = []
        if self.clear:
            present = {thing.name for thing in self.things}
            shapes = [s for s in SHAPES if all(thing.shape != s for thing in self.things)]
            colours = [c for c in COLOURS if all(thing.colour != c for thing in self.things)]
            if shapes:
                families.append(('colour', list(COLOURS), str(rng.choice(shapes))))
            if colours:
                families.append(('shape', list(SHAPES), str(rng.choice(colours))))
            absent = [n for n in self.names(30) if n not in present]
            families.append(
                ('direction', ['left', 'right', 'not at all'], str(rng.choice(absent)))
            )
            families.append(('where', ['left', 'middle', 'right'], str(rng.choice(absent))))
            families.append(('when', list(AGES), str(rng.choice(absent))))
        if self.scene.light is None and not self.window.light:
            for key in ('light_now', 'light_first'):
                families.append((key, list(LIGHT_COLOURS), ''))
        picked = rng.permutation(len(families))[:3]
        for i in picked:
            key, others, x = families[i]
            self.add('unanswerable', key, REFUSAL, others, x=x)
        outside = str(rng.choice(OUTSIDE))
        self.questions.append(
            Question('unanswerable', outside, ('yes', 'no', 'left', REFUSAL), REFUSAL)
        )


def questions_for(
    scene: Scene, at: float, chronicle: Chronicle | None = None, window: Window = WHOLE
) -> list[Question]:
    """
    Return every question that the frames up to `at` seconds settle, wordings by the seed.

    What a window shows of the past is what counts; nothing is asked whose answer another past
    would change.

    :param at: Seconds since the scene's first frame; at least 1.
    :param chronicle: The scene's, where several moments are asked about.
    :param window: What is still remembered, and of what came before the scene.
    :raises ValueError: When `at` is under one second.
    """
    if at < 1.0:
        raise ValueError('nothing can be asked before one second has been seen')
    asker = _Asker(scene, at, chronicle or Chronicle(scene), window)
    for ask in (
        asker.ask_looks,
        asker.ask_count,
        asker.ask_motion,
        asker.ask_last,
        asker.ask_order,
        asker.ask_when,
        asker.ask_light,
        asker.ask_seen,
        asker.ask_where,
        asker.ask_unanswerable,
    ):
        ask()
    return asker.questions


def choice_prompt(question: str, choices: tuple[str, ...]) -> str:
    """Return the text of a question in its choice form."""
    return f'{question}\nAnswer with one of: {", ".join(sorted(choices))}.'
