# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks shell commands of the documentation without running them.

A command of ours is parsed by its own parser, or its names are looked up in what is installed and
in the source. Of other programs (git, pip, docker, ...) only our own files are looked at.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable, Sequence
import contextlib
import functools
import importlib
import io
import re
import shlex
import sys
import types
from typing import Any
from unittest import mock

from support.pages.blocks import ROOT
import yaml

from streamvlm_ros.cli.main import VERBS
from streamvlm_ros.nodes.parameters.table import PARAMETERS

SHARE = '$(ros2 pkg prefix streamvlm_ros)/share/streamvlm_ros'
SUBSTITUTION = re.compile(r'\$\(([^()]*)\)')
ASSIGNMENT = re.compile(r'[A-Z][A-Z_]*=')
# Of these only files of the repository are checked, where an argument names one.
OTHERS = {
    'cd', 'colcon', 'export', 'git', 'id', 'pip', 'pre-commit', 'python3', 'rosdep', 'source',
    'sudo', 'touch',
}  # fmt: skip
INTERFACES = ROOT / 'streamvlm_ros' / 'nodes'
# Launch files' own module in streamvlm_ros/launching has these, PyPI has not.
LAUNCH_MODULES = (
    'launch', 'launch.actions', 'launch.conditions', 'launch.event', 'launch.event_handlers',
    'launch.events', 'launch.events.process', 'launch.substitutions', 'launch.some_actions_type',
    'launch_ros', 'launch_ros.actions', 'launch_ros.event_handlers', 'launch_ros.events',
    'launch_ros.events.lifecycle', 'launch_ros.substitutions',
)  # fmt: skip


# What YAML may give for a field, by the type of its default; all others are sequences.
KINDS: dict[type, tuple[type, ...]] = {
    bool: (bool,), int: (int,), float: (float, int), str: (str,)
}  # fmt: skip


class CommandError(Exception):
    """A command that could not work; the text says why."""


def commands_of(text: str) -> list[list[str]]:
    """Return the simple commands of a shell text, without comments, as words."""
    text = text.replace('\\\n', ' ').replace(SHARE, str(ROOT))
    text = re.sub(r'<(this repository)>', r'\1', text)
    found: list[list[str]] = []
    for line in text.splitlines():
        for inner in SUBSTITUTION.findall(line):
            found += commands_of(inner)
        lexer = shlex.shlex(
            SUBSTITUTION.sub('SUBSTITUTED', line), posix=True, punctuation_chars='&|;'
        )
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ';']:
            if set(word) <= set('&|;'):
                found += [words] if words else []
                words = []
            else:
                words.append(word)
    return found


def check_command(words: Sequence[str]) -> None:
    """Raise CommandError if a command could not work."""
    while words and ASSIGNMENT.match(words[0]):
        check_files(words[:1])
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    check_files(arguments)
    if program in CHECKS:
        CHECKS[program](arguments)
    elif program not in OTHERS:
        raise CommandError(f'{program}: no command that this test knows; teach it to, or mend it')


def check_files(arguments: Sequence[str]) -> None:
    """Check that the files of the package which arguments name are there."""
    for argument in arguments:
        path = argument.rpartition('=')[2].removeprefix('src/streamvlm_ros/')
        ours = path.startswith((str(ROOT), 'requirements/', 'docker/', 'config/', 'examples/'))
        if ours and not (ROOT / path).exists():
            raise CommandError(f'{path} is not there')


def check_streamvlm(arguments: Sequence[str]) -> None:
    """Parse the arguments as `streamvlm` does."""
    if not arguments or arguments[0] not in VERBS:
        raise CommandError(f'streamvlm {" ".join(arguments[:1])} is no verb')
    parser = argparse.ArgumentParser(arguments[0])
    VERBS[arguments[0]].add_arguments(parser)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parser.parse_args(arguments[1:])
    except SystemExit as end:
        if end.code:
            raise CommandError(said.getvalue()) from None


def check_make(arguments: Sequence[str]) -> None:
    """Look for the targets and variables in the Makefile."""
    makefile = (ROOT / 'Makefile').read_text()
    for argument in arguments:
        variable, equals, _ = argument.partition('=')
        wanted = rf'^{variable} \?=' if equals else rf'^{argument}:.*## '
        if not re.search(wanted, makefile, re.MULTILINE):
            raise CommandError(f'make {argument}: the Makefile has no such target or variable')


def check_python(arguments: Sequence[str]) -> None:
    """Look for the module or file, and for its options in its source."""
    if arguments[:1] == ['-m']:
        _, module, *rest = arguments
        path = ROOT / module.replace('.', '/')
        files = [path.with_suffix('.py'), path / '__main__.py']
        if module in ('pytest', 'venv', 'pip', 'mypy', 'ruff'):
            return
    else:
        module, *rest = arguments
        files = [ROOT / module]
    source = next((file for file in files if file.is_file()), None)
    if source is None:
        raise CommandError(f'python {module}: there is no such module or file')
    # Some options are added by a neighbour, those of several benchmarks by benchmark/common.
    parts = [*source.parent.glob('*.py'), *ROOT.glob('benchmark/common/*.py')]
    text = ''.join(file.read_text() for file in parts)
    for option in rest:
        if option.startswith('--') and f"'{option.partition('=')[0]}'" not in text:
            raise CommandError(f'python {module} has no option {option}')


def check_docker(arguments: Sequence[str]) -> None:
    """Check the command that runs in a container; our files are checked already."""
    if '/entrypoint' in arguments:
        check_command(arguments[arguments.index('/entrypoint') + 1 :])


def check_ros2(arguments: Sequence[str]) -> None:
    """Check `ros2 COMMAND ...` by the rules of the command."""
    rules: dict[str, Callable[[Sequence[str]], None]] = {
        'launch': check_launch,
        'run': check_run,
        'service': check_call,
        'action': check_call,
        'topic': check_topic,
        'param': check_param,
        'bag': lambda _: None,
        'pkg': lambda _: None,
        'security': lambda _: None,
        'lifecycle': lambda _: None,
    }
    if arguments[0] not in rules:
        raise CommandError(f'ros2 {arguments[0]}: teach this test what that is')
    rules[arguments[0]](arguments[1:])


def check_launch(arguments: Sequence[str]) -> None:
    """Check package, launch file and the names of the arguments, those without default too."""
    package, file, *given = arguments
    if package != 'streamvlm_ros' or not (ROOT / 'launch' / file).is_file():
        raise CommandError(f'there is no launch file {package} {file}')
    names = {each.partition(':=')[0] for each in given if not each.startswith('--')}
    declared = launch_arguments(file)
    if names - declared.keys():
        raise CommandError(f'{file} has no argument {", ".join(sorted(names - declared.keys()))}')
    needed = {name for name, default in declared.items() if default is None}
    if needed - names and '--show-args' not in given:
        raise CommandError(f'{file} needs {", ".join(sorted(needed - names))}')


def launch_arguments(file: str) -> dict[str, str | None]:
    """Return the arguments that a launch file declares, with their defaults; None: required."""
    declared: dict[str, str | None] = {}

    class Declaration:
        def __init__(self, name: str, *, default_value: str | None = None, **_: Any) -> None:
            declared[name] = default_value

    stubs = {name: mock.MagicMock(name=name) for name in LAUNCH_MODULES}
    stubs['launch.actions'].DeclareLaunchArgument = Declaration
    with mock.patch.dict(sys.modules, stubs):
        for name in [name for name in sys.modules if name.startswith('streamvlm_ros.launching')]:
            del sys.modules[name]
        module = types.ModuleType(file)
        exec(compile((ROOT / 'launch' / file).read_text(), file, 'exec'), module.__dict__)
        module.generate_launch_description()
    return declared


def check_run(arguments: Sequence[str]) -> None:
    """Check `ros2 run PACKAGE PROGRAM ...`."""
    package, program, *rest = arguments
    if package != 'streamvlm_ros' or not (ROOT / 'scripts' / program).is_file():
        raise CommandError(f'there is no program {package} {program}')
    if program == 'streamvlm':
        check_streamvlm(rest)
    if '--params-file' in rest:
        check_files([rest[rest.index('--params-file') + 1]])


@functools.cache
def names_of_node() -> dict[str, str]:
    """Return the names that a node has below its own, with the type where source pairs them."""
    found: dict[str, str] = {}
    for path in INTERFACES.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.elts if isinstance(node, ast.Tuple) else getattr(node, 'args', None)
            if not isinstance(parts, list):
                continue
            for before, part in zip([None, *parts], parts):
                text = part.value if isinstance(part, ast.Constant) else None
                if isinstance(text, str) and re.fullmatch('~/[a-z_]+', text):
                    found[text[2:]] = before.id if isinstance(before, ast.Name) else ''
    return found


def check_call(arguments: Sequence[str]) -> None:
    """Check `ros2 service call` and `ros2 action send_goal`: name, type, and every field."""
    _, name, interface, *rest = [each for each in arguments if not each.startswith('--')]
    package, kind, type_name = interface.split('/')
    last = name.rpartition('/')[2]
    if not re.fullmatch(r'(/\w+)*/streamvlm/\w+', name) or last not in names_of_node():
        raise CommandError(f'a node has no {name}')
    if names_of_node()[last] != type_name:
        raise CommandError(f'the type of {name} is {names_of_node()[last]}, not {type_name}')
    message = getattr(importlib.import_module(f'{package}.{kind}'), type_name)
    part = message.Goal if kind == 'action' else message.Request
    fill(part(), yaml.safe_load(rest[0]) if rest else {})


def fill(message: Any, values: Any) -> None:
    """Set the fields of a message, as `ros2 service call` does; CommandError if one is not."""
    if not isinstance(values, dict):
        raise CommandError(f'{values!r} is not a mapping of fields')
    for field, value in values.items():
        if field not in message.get_fields_and_field_types():
            raise CommandError(f'{type(message).__name__} has no field {field}')
        old = getattr(message, field)
        if hasattr(old, 'get_fields_and_field_types'):
            fill(old, value)
        elif not isinstance(value, KINDS.get(type(old), list)):
            raise CommandError(f'{field}: {value!r} is no {type(old).__name__}')
        else:
            setattr(message, field, value)


def check_topic(arguments: Sequence[str]) -> None:
    """Check `ros2 topic echo` and the like of a topic of the node, or of a camera."""
    name = next(each for each in arguments[1:] if each.startswith('/'))
    last = name.rpartition('/')[2]
    if '/streamvlm/' in name and last not in names_of_node():
        raise CommandError(f'a node has no {name}')


def check_param(arguments: Sequence[str]) -> None:
    """Check `ros2 param VERB NODE NAME VALUE`: the table has it and takes the value."""
    verb, _, *rest = arguments
    parameter = next((each for each in PARAMETERS if rest and each.name == rest[0]), None)
    if rest and parameter is None:
        raise CommandError(f'the node has no parameter {rest[0]}')
    if verb == 'set' and parameter is not None:
        parameter.check(yaml.safe_load(rest[1]))


CHECKS: dict[str, Callable[[list[str]], None]] = {
    'streamvlm': check_streamvlm,
    'scripts/with_ros': check_command,
    'ros2': check_ros2,
    'make': check_make,
    'python': check_python,
    'docker': check_docker,
}
