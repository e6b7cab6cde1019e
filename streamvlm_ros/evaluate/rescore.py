# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stored responses become a report; no model, no video and no torch is needed."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.read import read_questions
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.evaluate.report import Report, report_of
from streamvlm_ros.evaluate.responses import is_response_file, read_responses
from streamvlm_ros.evaluate.score import Benchmark, OVO, score
from streamvlm_ros.evaluate.stored import read_ovo_stored, read_streamingbench_stored, Stored


def score_stored(
    benchmark: Benchmark,
    paths: Sequence[pathlib.Path],
    annotations: Sequence[pathlib.Path] = (),
    model: str = '',
) -> Report:
    """Score responses that are there already.

    Args:
        benchmark: what they respond to.
        paths: the file of a run; or files in the benchmark's own form, or folders of them.
        annotations: have the truths that the files lack; of a run, what was to be asked.
        model: whose responses; needed where a file of StreamingBench has several.

    Raises:
        CommandError: a file is not what it has to be.

    """
    for path in paths:
        if not path.exists():
            raise CommandError(f'{path} does not exist; give a file of responses, or a folder.')
    questions = read_questions(benchmark, annotations)[0] if annotations else None
    if any(map(is_response_file, paths)):
        return _of_run(benchmark, paths, questions)
    if benchmark is not OVO:
        return _of_others(benchmark, read_streamingbench_stored(paths, model))
    truths = {each.key: each.truth for each in questions or ()}
    return _of_others(benchmark, read_ovo_stored(paths, truths))


def _of_run(
    benchmark: Benchmark, paths: Sequence[pathlib.Path], questions: list[Question] | None
) -> Report:
    if len(paths) > 1:
        raise CommandError('The responses of a run are scored alone; give one file.')
    file = read_responses(paths[0])
    own = file.about.get('benchmark')
    if own != benchmark.name:
        raise CommandError(f'{paths[0]} has responses to {own}, not to {benchmark.name}.')
    return report_of(benchmark, file, questions)


def _of_others(benchmark: Benchmark, stored: Stored) -> Report:
    notes = []
    if stored.twice:
        notes.append(
            f"{stored.twice} questions are there more than once; as in the benchmark's own scorer "
            'each of them counts.'
        )
    not_asked = {'the file has no response to it': stored.without} if stored.without else {}
    return Report(
        benchmark=benchmark.name,
        about={},
        scores=score(benchmark, stored.responses),
        questions=len(stored.responses) + len(stored.without),
        not_asked=not_asked,
        figures=None,
        notes=notes,
    )
