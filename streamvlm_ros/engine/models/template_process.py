# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Renders one chat template; a program of its own, because a template is one too.

It may loop for ever or ask for all memory, and neither can be ended in the process that it happens
in.  Reads a JSON object from stdin and writes one to stdout: ``chat_template.py`` is the other
end.  Imports no more of this package than itself, so that it starts in a fifth of a second.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from typing import Any


def environment() -> Any:
    """Return the sandbox with what transformers offers to chat templates, and no more."""
    import datetime

    from jinja2 import ext, nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(ext.Extension):
        """``{% generation %}`` marks answers for a training; here it is what stands in it."""

        tags = {'generation'}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(('name:endgeneration',), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class SafeNamespace(Namespace):
        """One that takes no names with which objects could be reached through it."""

        def __init__(*args: Any, **kwargs: Any) -> None:
            names = dict(*args[1:], **kwargs)
            for name in names:
                SafeNamespace.check(name)
            Namespace.__init__(args[0], names)

        def __setitem__(self, name: Any, value: Any) -> None:
            SafeNamespace.check(name)
            super().__setitem__(name, value)

        @staticmethod
        def check(name: Any) -> None:
            if isinstance(name, str) and name.startswith('_'):
                raise SecurityError(f'the name {name!r} begins with an underscore')

    class SafeDict:
        """``dict`` without its attributes."""

        def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args, **kwargs)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    made.filters['tojson'] = tojson
    made.globals.update(
        raise_exception=raise_exception,
        dict=SafeDict(),
        namespace=SafeNamespace,
        strftime_now=lambda form: datetime.datetime.now().strftime(form),
    )
    return made


def main() -> None:
    """Render, under limits of computing time and memory."""
    request = json.load(sys.stdin.buffer)
    sys.path[:] = request['path']
    made = environment()
    seconds = math.ceil(time.process_time() + request['seconds'])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (request['memory'], request['memory']))
    try:
        text = made.from_string(request['template']).render(**request['variables'])
    except Exception as error:
        json.dump({'fault': f'{type(error).__name__}: {error!s:.500}'}, sys.stdout)
        return
    if len(text) > request['length']:
        json.dump({'fault': f'it renders {len(text)} characters'}, sys.stdout)
        return
    json.dump({'text': text}, sys.stdout)


if __name__ == '__main__':
    main()
