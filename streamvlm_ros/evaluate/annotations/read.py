# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Annotation files of a benchmark become questions."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.fields import digest
from streamvlm_ros.evaluate.annotations.ovo import read_ovo
from streamvlm_ros.evaluate.annotations.prompts import OvoPrompts, StreamingBenchPrompts
from streamvlm_ros.evaluate.annotations.streamingbench import CONTEXT_S, read_streamingbench
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.evaluate.score import Benchmark, OVO


def read_questions(
    benchmark: Benchmark,
    paths: Sequence[pathlib.Path],
    protocol: pathlib.Path | None = None,
    context_s: float = CONTEXT_S,
) -> tuple[list[Question], str]:
    """Read the annotations of a benchmark.

    Args:
        benchmark: whose they are.
        paths: its files.
        protocol: clone of its repository, whose prompts are taken; None: our own.
        context_s: of StreamingBench, seconds before a question that the model is shown; 0: all.

    Returns:
        The questions, and what tells the words of their prompts from others.

    Raises:
        CommandError: a file is none of the benchmark; the sentence says where it is wrong.

    """
    if benchmark is OVO:
        if len(paths) > 1:
            raise CommandError('OVO-Bench has one file of annotations; give one.')
        words = OvoPrompts.of(protocol)
        return read_ovo(paths[0], words), _name(protocol, words)
    others = StreamingBenchPrompts.of(protocol)
    return read_streamingbench(paths, others, context_s), _name(protocol, others)


def _name(protocol: pathlib.Path | None, words: object) -> str:
    return ("the benchmark's " if protocol else 'own ') + digest(repr(words))
