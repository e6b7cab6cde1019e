# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The proofs that are too heavy for `make test`, one after another.

    python -m benchmark.bars [NAME ...]

Each is a command that writes into benchmark/results; its exit code says whether the proof holds.
The exit code here is 1 if one of them does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import pathlib
import subprocess
import sys
import time

from benchmark.common import harness

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROOFS: dict[str, Sequence[str]] = {
    'soak': (
        'test/soak.py',
        '--minutes',
        '10',
        '--seed',
        '1',
        '--output',
        'benchmark/results/soak.json',
    ),
    'whole_tests': ('-m', 'pytest', 'test', '-q', '--whole', '-m', 'whole'),
    'saved_mutations': ('test/saved_mutations.py', '--number', '5000'),
    'generation': ('-m', 'benchmark.exactness.generation', '--clips', '20'),
    'views': ('-m', 'benchmark.exactness.views'),
    'views_meaning': ('-m', 'benchmark.views.meaning'),
    'asking_leaves': ('-m', 'benchmark.exactness.asking_leaves'),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run them, or those that are named; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=', '.join(PROOFS))
    names = parser.parse_args(argv).names or list(PROOFS)
    unknown = sorted(set(names) - set(PROOFS))
    if unknown:
        parser.error(f'there is no proof {unknown[0]!r}; there are {", ".join(PROOFS)}')
    rows = []
    for name in names:
        print(f'{name} ...', flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, *PROOFS[name]], cwd=ROOT, check=False).returncode
        rows.append(
            {
                'proof': name,
                'command': ' '.join(PROOFS[name]),
                'holds': 'yes' if code == 0 else f'no (exit code {code})',
                'minutes': round((time.monotonic() - began) / 60, 1),
            }
        )
    harness.write('bars', {'rows': rows}, rows)
    return 0 if all(row['holds'] == 'yes' for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
