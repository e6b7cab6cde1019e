# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Play a generated bag into a real topic, ask the node while it plays, compare with the truth."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import contextlib
import itertools
import json
import os
import pathlib
import sys
import time
from typing import Any, TYPE_CHECKING

from streamvlm_ros import environment, interrupts
from streamvlm_ros.cli.calls import connect, load_client
from streamvlm_ros.errors import CommandError, StreamError

if TYPE_CHECKING:
    from streamvlm_ros.cli.demo_plan import Asked, Plan
    from streamvlm_ros.client.client import StreamClient
    from streamvlm_ros.client.outputs import Answer, Status

TOPIC = '/camera/image_raw'
START_TIME = 120.0  # seconds for the node to load its model
STATUS_TIME = 0.3  # seconds for the status that follows an answer; the next question is due soon
LAST_STATUS_TIME = 3.0  # seconds for the status behind the last frame
LONGEST = 32  # tokens of an answer; the generator's have fewer than ten
SHEET_COLUMNS = 5  # frames of the contact sheet between two moments of asking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        '--model', default='tiny', help="'tiny', a folder or a hub id (%(default)s)"
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object on stdout')
    parser.add_argument(
        '--folder',
        type=pathlib.Path,
        default=default_folder(),
        help='where bag, log and contact sheet go (%(default)s)',
    )


def default_folder() -> pathlib.Path:
    """Return a folder of the user's cache: where the package is installed may not be writable."""
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
    return pathlib.Path(cache).expanduser() / 'streamvlm_ros' / 'demo'


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; exit code 0 says that it ran through, not that the answers are right."""
    load_client()  # a sentence where there is no ROS, before anything is started
    with interrupts.deferred():  # a signal must not come between a child and who ends it
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    folder = arguments.folder.resolve()
    os.environ.update(environment.private_graph())
    environment.use_camera_profile(os.environ)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f'The demo cannot write there: {error}; choose a --folder.') from error
    _progress(f'Starting the node with model {arguments.model} (log: {folder}/node.log) ...')
    with (
        open(folder / 'node.log', 'wb') as log,
        environment.child(node_command(arguments.model), stdout=log, stderr=log) as node,
    ):
        plan = _prepare(folder)
        with connect('/streamvlm') as robot:
            if not _wait_until_ready(robot, node):
                raise CommandError(f'The node did not start: {_last_line(folder / "node.log")}')
            _progress(f'The node is ready; playing {plan.scene.seconds:g} s into {TOPIC} ...')
            player = [sys.executable, '-m', 'streamvlm_ros.bags.player', str(folder / 'bag')]
            with environment.child([*player, TOPIC]) as playing:
                results = _ask_all(robot, plan, as_json=arguments.json)
                while playing.poll() is None:
                    interrupts.check()
                    time.sleep(0.1)
            # The status comes once a second; the last frames are to be in it.
            last = len(plan.scene.frames)
            status = _status(
                robot,
                lambda s: s.frames_received >= last and not s.frames_waiting,
                LAST_STATUS_TIME,
            )
    right = sum(result['correct'] for result in results)
    counted = f'{right} of {len(results)} right'
    sheet = folder / 'contact_sheet.png'
    _write_sheet(sheet, plan, results, f'{arguments.model}: {counted}')
    _progress(f'Contact sheet: {sheet}')
    summary = {
        'questions': [
            {key: r[key] for key in ('question', 'answer', 'expected', 'correct', 'ttft_ms')}
            for r in results
        ],
        'frames': status.frames_ingested,
        'cache_tokens': status.cache_tokens,
        'model': arguments.model,
    }
    if arguments.json:
        print(json.dumps(summary))
    else:
        print(
            f'{counted}; {status.frames_ingested} frames, '
            f'{status.cache_tokens} tokens in the cache.'
        )
    return 0


def node_command(model: str) -> list[str]:
    """Return the command line that starts the node for the demo."""
    ros = ['-p', f"model:='{model}'", '-r', f'image:={TOPIC}']
    return [sys.executable, '-m', 'streamvlm_ros.nodes.streamvlm_node', '--ros-args', *ros]


def _prepare(folder: pathlib.Path) -> Plan:
    """Pick the scene and write its bag, while the node starts."""
    from streamvlm_ros.bags.bags import write_bag
    from streamvlm_ros.cli.demo_plan import make_plan

    plan = make_plan()
    write_bag(folder / 'bag', plan.scene.frames, plan.scene.stamps_ns, TOPIC)
    size = sum(file.stat().st_size for file in (folder / 'bag').iterdir())
    _progress(
        f'Wrote {len(plan.scene.frames)} frames of scene {plan.scene.seed} to {folder}/bag '
        f'({size / 1e6:.1f} MB).'
    )
    return plan


def _wait_until_ready(robot: StreamClient, node: Any) -> bool:
    """Wait until the node hears its camera; return False if it ends before, or takes too long."""
    deadline = time.monotonic() + START_TIME
    while node.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(StreamError):
            robot.wait_until_ready(timeout=1.0)
            return True
    return False


def _status(robot: StreamClient, condition: Callable[[Status], bool], timeout: float) -> Status:
    """Return a status that meets a condition, or the newest one after a while."""
    try:
        return robot.wait_for_status(condition, timeout=timeout)
    except StreamError:
        return robot.status()


def _ask_all(robot: StreamClient, plan: Plan, *, as_json: bool) -> list[dict[str, Any]]:
    """Ask each question at its moment of the running stream."""
    results: list[dict[str, Any]] = []
    for asked in plan.questions:
        result = _ask(robot, asked, plan.stamp_ns(asked))
        _show(result, results[-1] if results else None, to_stderr=as_json)
        results.append(result)
    return results


def _ask(robot: StreamClient, asked: Asked, due: int) -> dict[str, Any]:
    """Ask; the node answers when it has the frame with the stamp `due` (nanoseconds)."""
    from streamvlm_ros.cli.demo_plan import AFTER

    question = asked.question
    try:
        if asked.verb == 'ask':
            answer: Answer = robot.ask(
                question.text, after=due, timeout=START_TIME, max_new_tokens=LONGEST
            )
        else:
            answer = robot.ask_choice(
                question.text, question.choices, after=due, timeout=START_TIME
            )
    except StreamError as error:
        raise CommandError(f'{question.text!r} was refused: {error}') from error
    status = _status(robot, lambda status: status.stamp_ns >= answer.stamp_ns, STATUS_TIME)
    late = (answer.stamp_ns - due) / 1e9
    if late > AFTER:
        _progress(f'This machine is busy: the next answer saw {late:.1f} s more than was planned.')
    return {
        'at': asked.at,
        'verb': asked.verb,
        'question': question.text,
        'choices': list(question.choices) if asked.verb == 'choose' else [],
        'answer': answer.text,
        'expected': question.answer,
        'correct': answer.text.strip() == question.answer,
        'ttft_ms': round(answer.time_to_first_token * 1e3, 2),
        'frames': answer.frames,
        'cache_tokens': status.cache_tokens,
    }


def _show(result: dict[str, Any], previous: dict[str, Any] | None, *, to_stderr: bool) -> None:
    out = sys.stderr if to_stderr else sys.stdout
    if previous is None or previous['at'] != result['at']:
        print(
            f'After {result["at"]:g} s, with {result["frames"]} frames and '
            f'{result["cache_tokens"]} tokens in the cache:',
            file=out,
        )
    mark = '\u2713' if result['correct'] else '\u2717'
    remark = '' if result['correct'] else f' (expected: {result["expected"]})'
    chosen = f'one of {len(result["choices"])} choices, ' if result['choices'] else ''
    print(
        f'  {mark} {result["question"]} {result["answer"]}{remark}  '
        f'[{chosen}{result["ttft_ms"]:.0f} ms]',
        file=out,
        flush=True,
    )


def _write_sheet(
    path: pathlib.Path, plan: Plan, results: list[dict[str, Any]], title: str
) -> None:
    from streamvlm_ros.cli.contact_sheet import Note, Row, write_contact_sheet

    scene = plan.scene
    seconds = [(stamp - scene.stamps_ns[0]) / 1e9 for stamp in scene.stamps_ns]
    rows, begin = [], 0
    for _, group in itertools.groupby(zip(plan.questions, results), lambda each: each[0].at):
        asked = list(group)
        end = scene.stamps_ns.index(plan.stamp_ns(asked[0][0]))
        shown = [
            begin + round((end - begin) * i / (SHEET_COLUMNS - 1)) for i in range(SHEET_COLUMNS)
        ]
        notes = [
            Note(
                result['question'],
                result['answer'],
                result['correct'],
                '' if result['correct'] else f'(expected: {result["expected"]})',
            )
            for _, result in asked
        ]
        rows.append(Row([scene.frames[i] for i in shown], [seconds[i] for i in shown], notes))
        begin = end + 1
    write_contact_sheet(path, title, rows)


def _last_line(log: pathlib.Path) -> str:
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    return lines[-1] if lines else f'{log} is empty.'


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
