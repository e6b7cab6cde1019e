# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a question looks at: wrong values are refused with a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamvlm_ros.errors import InvalidRequestError
from streamvlm_ros.stamps import LAST_STAMP
from streamvlm_ros.view import View, VIEWS


def test_every_name_is_a_view() -> None:
    """A name alone is enough; only a span has stamps."""
    assert VIEWS == ('memory', 'now', 'memory_and_now', 'span')
    assert [View.of(name) for name in VIEWS] == [View(name) for name in VIEWS]
    assert View() == View('memory', 0, 0)
    span = View('span', np.int64(5), 7.0)
    assert View.of(span) is span
    assert (type(span.since_ns), type(span.until_ns)) == (int, int)
    assert [name for name in VIEWS if View(name).has_memory] == ['memory', 'memory_and_now']
    assert [name for name in VIEWS if not View(name).has_fresh_frames] == ['memory']


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        (('later',), "'later'; choose one of memory, now, memory_and_now, span"),
        (('',), "''; choose one of"),
        ((3,), 'The view must be a text, not int'),
        (('now', 1), "since_ns is 1, but the view is 'now'"),
        (('memory', 0, 1), 'until_ns is 1'),
        (('span', -1), 'since_ns is -1; give a stamp from 0'),
        (('span', 0, LAST_STAMP + 1), f'give a stamp from 0 to {LAST_STAMP}'),
        (('span', 0.5), 'since_ns is 0.5 (float); give a whole number'),
        (('span', 9, 8), 'ends at 8 ns, before it begins at 9 ns'),
    ],
)
def test_what_cannot_be_looked_at_is_refused(values: Any, says: str) -> None:
    """The sentence names the value, and what to do."""
    with pytest.raises(InvalidRequestError) as error:
        View(*values)
    assert says in str(error.value)
