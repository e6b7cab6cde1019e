# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a graph full of strangers asks of a node: seeded, and every answer is checked."""

from __future__ import annotations

import collections
from collections.abc import Callable
import dataclasses
import os
import pathlib
import random
import time
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger
from support.nodes.raw_client import Client
from support.nodes.raw_goals import Goals
from support.soak.files import GOOD, HOSTILE_NAMES, put_hostile, STRANGE_NAMES
from support.soak.values import (
    CHOICES,
    HOSTILE_AFTER,
    HOSTILE_CHOICES,
    HOSTILE_LOOKS,
    HOSTILE_TEXTS,
    HOSTILE_TIMES,
    ILLEGAL,
    LEGAL,
    LOOKS,
    MAX_REQUEST_TIMEOUT,
    QUESTIONS,
    TIMES,
)

from streamvlm_ros.srv import (
    AddWatch,
    Ask,
    AskChoice,
    ListWatches,
    LoadStream,
    RemoveWatch,
    SaveStream,
)

MOST_OPEN = 60  # more than a node takes at once
MARGIN = 15.0  # seconds in which a reply must come beyond what the request may take
KINDS = {
    'ask': 20, 'hostile ask': 10, 'choose': 8, 'hostile choose': 5, 'goal': 8, 'hostile goal': 3,
    'canceled goal': 6, 'burst': 1, 'add watch': 3, 'hostile watch': 2, 'remove watch': 4,
    'list watches': 2, 'save': 5, 'load': 4, 'hostile save': 4, 'hostile load': 6,
    'strange save': 1, 'reset': 2, 'pause': 2, 'set parameter': 5, 'illegal parameter': 6,
}  # fmt: skip


@dataclasses.dataclass
class Open:
    """A request on its way."""

    what: str
    done: Callable[[], bool]
    check: Callable[[], str]  # '' or what is wrong with the answer
    due: float


class Operations:
    """Sends what a seed decides, and keeps account.

    Attributes:
        counts: by kind, what was sent.
        codes: by kind and error code, what was answered; sentences: the first of each.
        faults: sentences.
        resets, loads: how many of these were sent; each may begin an epoch.

    """

    def __init__(
        self,
        client: Client,
        goals: Goals,
        folder: pathlib.Path,
        seed: int,
        slowness: Callable[[], float],
    ) -> None:
        """Take a client, the node's save folder, and how much slower than at rest things are."""
        self._client, self._goals, self._folder = client, goals, folder
        self._rng = random.Random(seed)
        self._slowness = slowness
        self._open: list[Open] = []
        self._watches: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.codes: collections.Counter[str] = collections.Counter()
        self.sentences: dict[str, str] = {}
        self.faults: list[str] = []
        self.resets = self.loads = 0

    @property
    def open(self) -> int:
        """How many have no answer yet."""
        return len(self._open)

    def step(self) -> None:
        """Send one operation."""
        kind = self._rng.choices(list(KINDS), list(KINDS.values()))[0]
        if len(self._open) < MOST_OPEN:
            self.counts[kind] += 1
            getattr(self, '_' + kind.replace(' ', '_'))()

    def look(self) -> None:
        """Check what has been answered, and what should have been."""
        still = []
        for each in self._open:
            if each.done():
                wrong = each.check()
                if wrong:
                    self.faults.append(f'{each.what}: {wrong}')
            elif time.monotonic() > each.due + MARGIN * self._slowness():
                self.faults.append(
                    f'{each.what} has no answer after '
                    f'{time.monotonic() - each.due:.0f} s beyond its time-out'
                )
            else:
                still.append(each)
        self._open = still

    def _call(
        self,
        what: str,
        kind: Any,
        name: str,
        request: Any,
        *,
        limit: float = 0.0,
        may_succeed: bool = True,
        then: Callable[[Any], None] | None = None,
    ) -> None:
        future = self._client.start_call(kind, name, request)

        def check() -> str:
            response = future.result()
            if then is not None:
                then(response)
            wrong = self._wrong(what, response, may_succeed)
            return f'{wrong} (the request: {str(request)[:200]})' if wrong else ''

        self._open.append(
            Open(what, future.done, check, time.monotonic() + (limit or MAX_REQUEST_TIMEOUT))
        )

    def _wrong(self, what: str, response: Any, may_succeed: bool) -> str:
        """Return what is wrong with a response that carries success and a code."""
        code = getattr(response, 'error_code', 0 if response.success else 1)
        text = getattr(response, 'error_msg', getattr(response, 'message', ''))
        self.codes[f'{what}: {code}'] += 1
        self.sentences.setdefault(f'{what}: {code}', text[:200])
        if response.success and not may_succeed:
            return 'it succeeded'
        if response.success != (code == 0):
            return f'success is {response.success} and the code {code}'
        if code == Ask.Response.INTERNAL:
            return f'INTERNAL: {text:.200}'
        if not response.success and (not text.endswith('.') or len(text) > 2000):
            return f'no sentence, but {text!r:.200} ({len(text)} characters)'
        return ''

    def _pick(self, *groups: Any) -> Any:
        return self._rng.choice(self._rng.choice(groups))

    def _fields(self, hostile: bool) -> dict[str, Any]:
        """Return fields of a question; a hostile one has one of them wrong at least."""
        rng = self._rng
        fields: dict[str, Any] = {
            'question': rng.choice(QUESTIONS),
            'timeout': rng.choice(TIMES),
            'after': Time(),
            'max_new_tokens': rng.choice((1, 2, 8)),
            'update_state': rng.random() < 0.1,
            **rng.choice(HOSTILE_LOOKS if hostile and rng.random() < 0.3 else LOOKS),
        }
        for name in rng.sample(
            ('question', 'timeout', 'after', 'max_new_tokens'),
            rng.randrange(1, 4) if hostile else 0,
        ):
            fields[name] = rng.choice(
                {
                    'question': HOSTILE_TEXTS,
                    'timeout': HOSTILE_TIMES,
                    'after': HOSTILE_AFTER,
                    'max_new_tokens': (0, 2**32 - 1),
                }[name]
            )
        return fields

    def _ask(self, hostile: bool = False) -> None:
        fields = self._fields(hostile)
        self._call('hostile ask' if hostile else 'ask', Ask, 'ask', Ask.Request(**fields))

    def _hostile_ask(self) -> None:
        self._ask(hostile=True)

    def _burst(self) -> None:
        for _ in range(50):
            self._ask()

    def _choose(self, hostile: bool = False) -> None:
        fields = self._fields(hostile)
        del fields['max_new_tokens'], fields['update_state']
        choices = self._rng.choice(HOSTILE_CHOICES if hostile else CHOICES)
        request = AskChoice.Request(**fields, choices=choices)
        self._call('hostile choose' if hostile else 'choose', AskChoice, 'ask_choice', request)

    def _hostile_choose(self) -> None:
        self._choose(hostile=True)

    def _goal(self, hostile: bool = False, cancel: bool = False) -> None:
        fields = self._fields(hostile)
        if hostile:
            fields['choices'] = self._rng.choice(HOSTILE_CHOICES)
        if cancel:
            fields['max_new_tokens'] = 0
        what = 'hostile goal' if hostile else 'canceled goal' if cancel else 'goal'
        goal = self._goals.send(**fields)
        if cancel:
            goal.cancel()

        def check() -> str:
            refused = goal.accepted is False
            return '' if refused or cancel else self._wrong(what, goal.result, True)

        self._open.append(
            Open(
                what,
                lambda: goal.is_over,
                check,
                # Queued goals wait for those before them.
                time.monotonic() + 2 * MAX_REQUEST_TIMEOUT,
            )
        )

    def _hostile_goal(self) -> None:
        self._goal(hostile=True)

    def _canceled_goal(self) -> None:
        self._goal(cancel=True)

    def _add_watch(self) -> None:
        rng = self._rng
        request = AddWatch.Request(
            question=rng.choice(QUESTIONS),
            choices=rng.choice(CHOICES),
            threshold=rng.choice((0.0, 0.5, 0.9)),
            hold=rng.choice((1, 2, 5)),
            view=rng.choice(('', '', 'now', 'memory_and_now', 'span')),
        )

        def then(response: Any) -> None:
            if response.success:
                self._watches.append(response.name)

        self._call('add watch', AddWatch, 'add_watch', request, then=then)
        if len(self._watches) > 4:
            self._remove_watch()

    def _hostile_watch(self) -> None:
        rng = self._rng
        request = AddWatch.Request(
            question=self._pick(QUESTIONS, HOSTILE_TEXTS),
            choices=self._pick(CHOICES, HOSTILE_CHOICES),
            name=rng.choice(('', 'w', 'w' * 100_000, '\x1b[31m')),
            threshold=rng.choice((-1.0, float('nan'), 2.0, 1e308, 0.5)),
            hold=rng.choice((0, 1, 2**32 - 1)),
        )

        def then(response: Any) -> None:
            if response.success:
                self._watches.append(response.name)

        self._call('hostile watch', AddWatch, 'add_watch', request, then=then)

    def _remove_watch(self) -> None:
        known = bool(self._watches) and self._rng.random() < 0.9
        name = self._watches.pop(0) if known else self._rng.choice(('none', '', 'n' * 10_000))
        self._call('remove watch', RemoveWatch, 'remove_watch', RemoveWatch.Request(name=name))

    def _list_watches(self) -> None:
        self._call('list watches', ListWatches, 'list_watches', ListWatches.Request())

    def _save(self) -> None:
        name = self._rng.choice(GOOD)
        self._call('save', SaveStream, 'save', SaveStream.Request(path=name))

    def _strange_save(self) -> None:
        name = self._rng.choice(STRANGE_NAMES)
        self._call('strange save', SaveStream, 'save', SaveStream.Request(path=name))

    def _load(self) -> None:
        self.loads += 1
        name = self._rng.choice(GOOD)
        self._call('load', LoadStream, 'load', LoadStream.Request(path=name))

    def _hostile_path(self) -> str:
        outside = os.fspath(self._folder.parent / 'outside')
        return self._rng.choice(HOSTILE_NAMES).replace('{outside}', outside)

    def _hostile_save(self) -> None:
        request = SaveStream.Request(path=self._hostile_path())
        self._call('hostile save', SaveStream, 'save', request, may_succeed=False)

    def _hostile_load(self) -> None:
        path = (
            self._hostile_path()
            if self._rng.random() < 0.3
            else put_hostile(self._rng, self._folder)
        )
        self._call(
            'hostile load', LoadStream, 'load', LoadStream.Request(path=path), may_succeed=False
        )

    def _reset(self) -> None:
        self.resets += 1
        self._call('reset', Trigger, 'reset', Trigger.Request())

    def _pause(self) -> None:
        for paused in (True, False):
            self._call('pause', SetBool, 'set_paused', SetBool.Request(data=paused))

    def _set_parameter(self) -> None:
        name = self._rng.choice(list(LEGAL))
        self._parameter('set parameter', name, self._rng.choice(LEGAL[name]), True)

    def _illegal_parameter(self) -> None:
        name, value = self._rng.choice(ILLEGAL)
        self._parameter('illegal parameter', name, value, False)

    def _parameter(self, what: str, name: str, value: Any, legal: bool) -> None:
        message = Parameter(name, value=value).to_parameter_msg()
        future = self._client.start_call(
            SetParameters, 'set_parameters', SetParameters.Request(parameters=[message])
        )

        def check() -> str:
            result = future.result().results[0]
            self.codes[f'{what}: {result.successful}'] += 1
            if result.successful != legal:
                return f'{name} = {value!r:.40}: {result.successful} {result.reason!r:.120}'
            return ''

        self._open.append(Open(what, future.done, check, time.monotonic() + MARGIN))
