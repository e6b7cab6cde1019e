# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`streamvlm VERB …`: one module per verb, each with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys

from streamvlm_ros import interrupts

if __name__ == '__main__':  # before the other imports, which take their time
    interrupts.install()

from streamvlm_ros.cli import ask, choose, demo, load, replay, run, save, watch
from streamvlm_ros.errors import CommandError

VERBS = {
    'run': run,
    'ask': ask,
    'choose': choose,
    'watch': watch,
    'save': save,
    'load': load,
    'replay': replay,
    'demo': demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the command line without the program's name; None: sys.argv.

    Returns:
        0, or 1 after a sentence on stderr; argparse itself exits with 2 on a wrong command line.

    """
    parser = argparse.ArgumentParser(
        prog='streamvlm', description='Ask a camera topic what it has seen.'
    )
    verbs = parser.add_subparsers(dest='verb', required=True, metavar='VERB')
    for name, module in VERBS.items():
        summary = (module.__doc__ or '').strip().splitlines()[0]
        module.add_arguments(verbs.add_parser(name, help=summary, description=summary))
    arguments = parser.parse_args(argv)
    try:
        return VERBS[arguments.verb].run(arguments)
    except CommandError as error:
        print(f'streamvlm: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return interrupts.exit_code()


def command() -> int:
    """Do as `main`, as a program of its own; setup.py's entry point."""
    interrupts.install()
    return main()


if __name__ == '__main__':
    sys.exit(main())
