# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Makes requirements/constraints.txt from what pip resolves, one report for each Python.

After a change to requirements/*.txt, with requirements/constraints.txt emptied, for each of Python
3.10 to 3.13:

    python3.X -m pip install --dry-run --ignore-installed --report 3.X.json -r requirements/all.txt

and then:

    python3 -m scripts.setup.lock 3.*.json > requirements/constraints.txt
"""

from __future__ import annotations

import json
import pathlib
import re
import sys

_HEADER = """\
# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Written by scripts/setup/lock.py: what the packages of engine.txt, ros.txt and test.txt need in
# turn. Left out is what torch pins itself, which differs between its CPU and CUDA builds.
"""
_PINNED_BY_TORCH = ('cuda-', 'nvidia-', 'triton')


def read_report(text: str) -> tuple[str, dict[str, str]]:
    """Return a report's Python version, such as '3.11', and its indirect {package: version}."""
    report = json.loads(text)
    versions = {}
    for item in report['install']:
        name = re.sub(r'[-_.]+', '-', item['metadata']['name']).lower()
        if not item['requested'] and not name.startswith(_PINNED_BY_TORCH):
            versions[name] = item['metadata']['version']
    return report['environment']['python_version'], versions


def merge(reports: dict[str, dict[str, str]]) -> list[str]:
    """Return one constraint for each package and version, marked where the Pythons differ."""
    lines = []
    for name in sorted(set().union(*reports.values())):
        pythons: dict[str, list[str]] = {}
        for python, versions in reports.items():
            if name in versions:
                pythons.setdefault(versions[name], []).append(python)
        if len(pythons) == 1:
            lines.append(f'{name}=={next(iter(pythons))}')
            continue
        for version, where in pythons.items():
            marker = ' or '.join(f"python_version == '{python}'" for python in where)
            lines.append(f'{name}=={version}; {marker}')
    return lines


def main() -> None:
    """Read the reports named on the command line and print the constraints."""
    reports = dict(read_report(pathlib.Path(path).read_text()) for path in sys.argv[1:])
    print(_HEADER)
    print('\n'.join(merge(reports)))


if __name__ == '__main__':
    main()
