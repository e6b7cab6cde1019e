# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check this machine: versions, GPU, compiler, DDS, disk, a model, a camera's topic."""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import sys

from streamvlm_ros.errors import CommandError

LONGEST = 600.0  # seconds to listen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('--topic', help='listen to this image topic too')
    parser.add_argument('--seconds', type=float, default=5.0, help='how long to listen to it (5)')
    parser.add_argument(
        '--model', default='tiny', help="'tiny', a folder or a hub id, which is not fetched (tiny)"
    )
    parser.add_argument('--device', default='auto', help='that the model is for (auto)')
    parser.add_argument(
        '--save-folder',
        type=pathlib.Path,
        default=pathlib.Path('~/.ros/streamvlm'),
        help="the node's parameter save_folder (~/.ros/streamvlm)",
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')


def run(arguments: argparse.Namespace) -> int:
    """Check, print a line for each finding, and return 1 if something has to be mended."""
    from streamvlm_ros.doctor import machine, packages
    from streamvlm_ros.doctor.finding import Check, examine, Verdict
    from streamvlm_ros.doctor.model import check_model
    from streamvlm_ros.doctor.topic import check_topic

    if not 0.1 <= arguments.seconds <= LONGEST:
        raise CommandError(f'--seconds is {arguments.seconds:g}; give 0.1 to {LONGEST:g}.')
    checks: list[tuple[str, Check]] = [
        ('Python', packages.check_python),
        ('Packages', packages.check_packages),
        ('GPU', packages.check_gpu),
        ('Triton', packages.check_triton),
        ('Model', functools.partial(check_model, arguments.model, arguments.device)),
        ('ROS 2', machine.check_ros),
        ('/dev/shm', machine.check_shared_memory),
        ('Sockets', machine.check_sockets),
        ('Disk', functools.partial(machine.check_disk, arguments.save_folder)),
    ]
    if arguments.topic:
        listen = functools.partial(check_topic, arguments.topic, arguments.seconds)
        checks.append((f'Topic {arguments.topic}', listen))
    found = []
    for finding in examine(checks):
        found.append(finding)
        if not arguments.json:
            print(finding.line(), flush=True)
    wrong = sum(finding.verdict is Verdict.BAD for finding in found)
    if arguments.json:
        findings = [
            {
                'name': each.name,
                'verdict': each.verdict.value,
                'text': each.text,
                'remedy': each.remedy,
            }
            for each in found
        ]
        print(json.dumps({'ok': not wrong, 'findings': findings}))
    else:
        how = 'Nothing has to be mended.' if not wrong else f'{wrong} of these to be mended.'
        print(how, file=sys.stderr)
    return 1 if wrong else 0
