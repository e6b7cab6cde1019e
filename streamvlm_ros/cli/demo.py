# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Play a generated bag into a real topic, ask the node while it plays, compare with the truth."""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import pathlib
import sys
from typing import Any, TYPE_CHECKING

from streamvlm_ros import environment, interrupts
from streamvlm_ros.cli.calls import load_client_module
from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import to_nanoseconds

if TYPE_CHECKING:
    from streamvlm_ros.cli.demo_plan import Asked, Plan
    from streamvlm_ros.client.client import Client

TOPIC = '/camera/image_raw'
START_TIME = 120.0  # seconds for the node to load its model
STATUS_TIME = 0.3  # seconds for the status that follows an answer; the next question is due soon
LAST_STATUS_TIME = 3.0  # seconds for the status behind the last frame
QUEUE = 100  # images that may wait for this process
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
    load_client_module()  # a sentence where there is no ROS, before anything is started
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
        from streamvlm_ros.client.client import Client

        with Client() as client:
            ready = client.wait_until(lambda: _is_ready(client, node), START_TIME)
            if not ready or node.poll() is not None:
                raise CommandError(f'The node did not start: {_last_line(folder / "node.log")}')
            _progress(f'The node is ready; playing {plan.scene.seconds:g} s into {TOPIC} ...')
            stamps = _watch_stamps(client)
            player = [sys.executable, '-m', 'streamvlm_ros.bags.player', str(folder / 'bag')]
            # It begins when both the node and this process's own subscription are there.
            with environment.child([*player, TOPIC, '2']) as playing:
                results = _ask_all(client, plan, stamps, as_json=arguments.json)
                client.wait_until(lambda: playing.poll() is not None, float('inf'))
            # The status comes once a second; the last frames are to be in it.
            client.wait_until(
                functools.partial(_has_all, client, len(plan.scene.frames)), LAST_STATUS_TIME
            )
            status = client.status
    assert status is not None
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


def _is_ready(client: Client, node: Any) -> bool:
    if node.poll() is not None:
        return True
    status = client.status
    return status is not None and status.state == status.WAITING_FOR_IMAGES


def _watch_stamps(client: Client) -> list[int]:
    """Subscribe to the camera too; the returned list grows by the stamps seen."""
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image

    stamps: list[int] = []
    client.node.create_subscription(
        Image,
        TOPIC,
        lambda message: stamps.append(to_nanoseconds(message.header.stamp)),
        # Reliable: each of the last frames may be the one that a question waits for.
        QoSProfile(depth=QUEUE),
    )
    return stamps


def _ask_all(
    client: Client, plan: Plan, stamps: list[int], *, as_json: bool
) -> list[dict[str, Any]]:
    """Ask each question at its moment of the running stream."""
    results: list[dict[str, Any]] = []
    for asked in plan.questions:
        due = plan.stamp_ns(asked)
        if not client.wait_until(functools.partial(_has_come, stamps, due), START_TIME):
            raise CommandError('The player delivers no images; run the demo again.')
        result = _ask(client, asked, due)
        _show(result, results[-1] if results else None, to_stderr=as_json)
        results.append(result)
    return results


def _has_come(stamps: list[int], due: int) -> bool:
    return bool(stamps) and stamps[-1] >= due


def _ask(client: Client, asked: Asked, due: int) -> dict[str, Any]:
    from streamvlm_ros.cli.demo_plan import AFTER
    from streamvlm_ros.client.client import parse_stamp

    question = asked.question
    after = parse_stamp(f'{due // 10**9}.{due % 10**9:09d}')
    if asked.verb == 'ask':
        response: Any = client.ask(question.text, after=after, max_new_tokens=LONGEST)
    else:
        response = client.ask_choice(question.text, list(question.choices), after=after)
    if not response.success:
        raise CommandError(f'{question.text!r} was refused: {response.error_msg}')
    answer = response.answer
    newest = to_nanoseconds(answer.header.stamp)
    client.wait_until(lambda: _has_frame(client, newest), STATUS_TIME)
    late = (newest - due) / 1e9
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
        'cache_tokens': client.status.cache_tokens if client.status else 0,
    }


def _has_frame(client: Client, stamp_ns: int) -> bool:
    status = client.status
    if status is None:
        return False
    return to_nanoseconds(status.header.stamp) >= stamp_ns


def _has_all(client: Client, frames: int) -> bool:
    status = client.status
    return status is not None and status.frames_received >= frames and not status.frames_waiting


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
