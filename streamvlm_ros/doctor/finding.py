# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A finding about the machine, and how checks are run so that none ends the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import enum


class Verdict(enum.Enum):
    """What a finding says."""

    OK = 'ok'
    NOTE = 'note'  # works, or is not needed by everybody
    BAD = 'bad'  # has to be mended


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at, in a word or two.
        verdict: how it is.
        text: a sentence about it.
        remedy: what to do, as a sentence; '' if nothing has to be done.

    """

    name: str
    verdict: Verdict
    text: str
    remedy: str = ''

    def line(self) -> str:
        """Return it for a terminal."""
        remedy = f' {self.remedy}' if self.remedy else ''
        return f'{self.verdict.value:<4}  {self.name}: {self.text}{remedy}'


Check = Callable[[], Iterable[Finding]]


def ok(name: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(name, Verdict.OK, text)


def note(name: str, text: str, remedy: str = '') -> Finding:
    """Return a finding that some people may want to do something about."""
    return Finding(name, Verdict.NOTE, text, remedy)


def bad(name: str, text: str, remedy: str) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(name, Verdict.BAD, text, remedy)


def examine(checks: Iterable[tuple[str, Check]]) -> Iterator[Finding]:
    """Yield what some checks find, each with its name; one that fails is a finding too."""
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:  # of whatever is broken on this machine
            why = ' '.join(str(error).split()) or type(error).__name__
            yield bad(name, f'The check itself failed: {why}.', 'Please report it.')
