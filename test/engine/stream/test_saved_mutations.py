# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Changed files with right checksums are refused, or load as a stream that works."""

from __future__ import annotations

import pathlib

from support.saving.changes import CHANGES, CONTENT
from support.saving.saved_mutations import Mutations

# The whole 5,000: python test/saved_mutations.py --number 5000
NUMBER = 40 * len(CHANGES)


def test_every_change_is_refused_or_harmless(tmp_path: pathlib.Path) -> None:
    mutations = Mutations(tmp_path, seed=1)
    mutations.run(NUMBER)
    counts = mutations.counts
    assert sum(each.refused + each.same + each.other for each in counts.values()) == NUMBER
    # Each kind does something, and what has no meaning does not get through.
    for change in CHANGES:
        each = counts[change.__name__]
        assert each.same + each.other if change in CONTENT else each.refused or each.same
