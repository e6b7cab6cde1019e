# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`streamvlm VERB …`: a row in `VERBS` for each verb."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import sys
import types

from streamvlm_ros import interrupts

if __name__ == '__main__':  # before the other imports, which take time
    interrupts.install()

from streamvlm_ros.cli import ask, demo, pull, replay, run, save, verify, watch
from streamvlm_ros.cli.offline import doctor, evaluate
from streamvlm_ros.errors import CommandError, StreamError


@dataclasses.dataclass
class Verb:
    """A verb of the command line.

    Attributes:
        summary: its line in the help.
        add_arguments: adds its arguments to a parser.
        run: does it; returns the exit code.

    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    @classmethod
    def of(cls, module: types.ModuleType) -> Verb:
        """Return the verb of a module that has one: its docstring, `add_arguments` and `run`."""
        summary = (module.__doc__ or '').strip().splitlines()[0]
        return cls(summary, module.add_arguments, module.run)


VERBS = {
    'run': Verb.of(run),
    'pull': Verb.of(pull),
    'verify': Verb.of(verify),
    'evaluate': Verb.of(evaluate),
    'ask': Verb(
        'Ask a running node a question, answered in free text.', ask.add_ask_arguments, ask.ask
    ),
    'choose': Verb(
        'Ask a running node a question with given answers.', ask.add_choose_arguments, ask.choose
    ),
    'watch': Verb.of(watch),
    'save': Verb(
        "Write the memory of a running node's stream to a file.", save.add_arguments, save.save
    ),
    'load': Verb(
        'Let a running node continue a saved stream; its present one is forgotten.',
        save.add_arguments,
        save.load,
    ),
    'forget': Verb(
        "Take a span of time out of a running node's store, for good.",
        save.add_forget_arguments,
        save.forget,
    ),
    'replay': Verb.of(replay),
    'doctor': Verb.of(doctor),
    'demo': Verb.of(demo),
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
    for name, verb in VERBS.items():
        verb.add_arguments(verbs.add_parser(name, help=verb.summary, description=verb.summary))
    arguments = parser.parse_args(argv)
    try:
        return VERBS[arguments.verb].run(arguments)
    except (CommandError, StreamError) as error:
        print(f'streamvlm: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return interrupts.exit_code()


def command() -> int:
    """Run `main` as a program of its own; the entry point of `pip install`."""
    interrupts.install()
    return main()


if __name__ == '__main__':
    sys.exit(main())
