# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The prompts of the benchmarks: in our own words, or read from a benchmark's own repository.

A score depends on the words.  The benchmarks' own are not copied into this package: ours ask for
the same things, and for figures to compare with published ones the benchmark's own words are read
from a clone of its repository.  Nothing of the clone is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
import dataclasses
import pathlib
import string

from streamvlm_ros.errors import CommandError

OPTIONS = ('{options[0]}', '{options[1]}', '{options[2]}', '{options[3]}')
# Names of our templates' places by the expressions of StreamingBench's programs.
PLACES = {
    "question['question']": '{question}',
    "question['ground_truth_output']": '{output}',
    "question['time_stamp']": '{time}',
    "question['answer']": '{answer}',
    'ques': '{question}',
    **{f'options[{number}]': place for number, place in enumerate(OPTIONS)},
}


@dataclasses.dataclass(frozen=True)
class OvoPrompts:
    """Templates of `str.format` for OVO-Bench.

    Attributes:
        choice: has question and options.
        count: has a question.
        step: has a step of a tutorial.
        evidence: has a question that may not be answerable yet.

    """

    choice: str = (
        'Here is a question about the video, with its options.\n'
        'Question: {question}\n'
        'Options: {options}\n'
        'Reply with the letter of the right option and nothing else, for example: A'
    )
    count: str = (
        'In this video an action may be done again and again, by one person or by several. '
        'Count how often it has been done completely since the video began.\n'
        'Question: {question}\n'
        'Reply with one whole number and nothing else, for example: 2'
    )
    step: str = (
        'This video teaches how something is done, step by step. One of its steps is:\n'
        '{step}\n'
        'Is this the step that is being done now, at the end of what you see?\n'
        'Reply with "Yes" or "No" and nothing else.'
    )
    evidence: str = (
        'Here is a question about what happens at the end of the video so far.\n'
        'Question: {question}\n'
        'Has the video, above all its last frames, already shown enough to answer it?\n'
        'Reply with "Yes" or "No" and nothing else.'
    )

    @classmethod
    def of(cls, protocol: pathlib.Path | None) -> OvoPrompts:
        """Return our own ones, or those of a clone of OVO-Bench's repository.

        Raises:
            CommandError: there are none in it, or they are of another form.

        """
        if protocol is None:
            return cls()
        source = _Source(protocol / 'constant.py')
        return cls(
            source.template('BR_PROMPT_TEMPLATE', '{question}', '{options}'),
            source.template('REC_PROMPT_TEMPLATE', '{question}'),
            source.template('SSR_PROMPT_TEMPLATE', '{step}'),
            source.template('CRR_PROMPT_TEMPLATE', '{question}'),
        )


@dataclasses.dataclass(frozen=True)
class StreamingBenchPrompts:
    """Templates of `str.format` for StreamingBench.

    Attributes:
        choice: has a question and four options.
        sequence: has these too, and as context the questions before it.
        opening: stands before the context.
        turn: has time, question, options and answer of a question before.
        poll: has a question and an output; asked again and again until the response is a yes.
        output: has the question; asked after the yes.

    """

    choice: str = (
        'Look at the video, and choose the best of four options. Reply with its letter (A, B, C '
        'or D) and nothing else.\n\nQuestion: {question}\n\nOptions:\n'
        + '\n'.join(OPTIONS)
        + '\n\nLetter:'
    )
    sequence: str = (
        'Look at the video, and choose the best of four options. Reply with its letter (A, B, C '
        'or D) and nothing else.\n\n{context}\n\nThis is the question to answer now.\n'
        'Question: {question}\n\nOptions:\n' + '\n'.join(OPTIONS) + '\n\nLetter:'
    )
    opening: str = 'These questions about the video were asked and answered before: '
    turn: str = '[{time}] {question} Options: ' + ' '.join(OPTIONS) + ' Answer: {answer}; '
    poll: str = (
        'Look at the video, and read this instruction: {question}\n'
        'Has the moment come to put out "{output}"? Reply with "Yes" or "No" and nothing else.'
    )
    output: str = (
        'Look at the video, and follow this instruction, for which the moment has come: '
        '{question}\nReply with what is to be put out and nothing else.'
    )

    @classmethod
    def of(cls, protocol: pathlib.Path | None) -> StreamingBenchPrompts:
        """Return our own ones, or those of a clone of StreamingBench's repository.

        Raises:
            CommandError: there are none in it, or they are of another form.

        """
        if protocol is None:
            return cls()
        real, sequence, proactive = (
            _Source(protocol / 'src' / 'benchmark' / f'{name}.py')
            for name in ('StreamingBench', 'StreamingBenchSQA', 'StreamingBenchProactive')
        )
        choice = real.template('PROMPT_TEMPLATE', '{question}', *OPTIONS)
        query = proactive.written('query', 0)
        return cls(
            choice + real.written('inp', 0),
            sequence.template('PROMPT_TEMPLATE', '{context}', '{question}', *OPTIONS),
            sequence.written('context', 0),
            sequence.written('context', 1),
            proactive.template('PROMPT_TEMPLATE_PROACTIVE', query),
            proactive.template('PROMPT_TEMPLATE_PROACTIVE', '{question}'),
        )


class _Source:
    """The texts in a Python file."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        try:
            self._tree = ast.parse(path.read_text(encoding='utf-8'))
        except OSError as error:
            raise CommandError(
                f'{path} cannot be read: {error.strerror}; give --protocol a clone of the '
                "benchmark's repository."
            ) from error
        except (SyntaxError, ValueError) as error:
            raise CommandError(f'{path} is not a Python file: {error}.') from error

    def template(self, name: str, *places: str) -> str:
        """Return a template of the file, with names in its places."""
        for target, value in self._assigned():
            if target == name and isinstance(value, ast.Constant):
                try:
                    text = str(value.value)
                    found = [each for _, each, _, _ in string.Formatter().parse(text)]
                    if sum(each is not None for each in found) == len(places):
                        return text.format(*places)
                except (ValueError, LookupError):
                    break
        raise self._other(f'a text {name} with {len(places)} places to fill')

    def written(self, name: str, number: int) -> str:
        """Return a text that is given or added to a variable, as a template; empty ones apart."""
        texts = [
            text
            for target, value in self._assigned()
            if target == name and (text := self._as_template(value))
        ]
        if len(texts) <= number:
            raise self._other(f'{number + 1} texts in {name}')
        return texts[number]

    def _assigned(self) -> Iterator[tuple[str, ast.expr]]:
        """Yield what is given or added to a variable, in the order of the lines."""
        nodes = [
            node for node in ast.walk(self._tree) if isinstance(node, (ast.Assign, ast.AugAssign))
        ]
        for node in sorted(nodes, key=lambda node: node.lineno):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value

    def _as_template(self, value: ast.expr) -> str:
        """Return a text of the program as a template; '': it is none, or empty."""
        parts = value.values if isinstance(value, ast.JoinedStr) else [value]
        text = ''
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                text += part.value.replace('{', '{{').replace('}', '}}')
            elif isinstance(part, ast.FormattedValue):
                expression = ast.unparse(part.value)
                if expression not in PLACES:
                    raise self._other(f'a text with {expression} as it is known')
                text += PLACES[expression]
            else:
                return ''
        return text

    def _other(self, lacking: str) -> CommandError:
        return CommandError(
            f'{self._path} has not {lacking}; this version of the benchmark is not known here.'
        )
