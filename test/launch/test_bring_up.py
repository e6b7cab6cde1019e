# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node is brought up by events that every launch_ros since Humble's knows."""

from __future__ import annotations

import subprocess
import sys

import pytest

REASON = 'launch and launch_ros come with a ROS distribution, not with PyPI'
pytest.importorskip('launch', reason=REASON)
pytest.importorskip('launch_ros', reason=REASON)

from launch_ros.actions import LifecycleNode  # noqa: E402

from streamvlm_ros.launching import stream  # noqa: E402
from streamvlm_ros.launching.lifecycle import bring_up  # noqa: E402


@pytest.mark.parametrize(
    ('outcome', 'steps'),
    [
        ('success', ['configuring > inactive', 'inactive > activating', 'activating > active']),
        ('failure', ['configuring > unconfigured', 'refused']),
        ('error', ['configuring > errorprocessing', 'errorprocessing > unconfigured', 'refused']),
    ],
)
def test_transitions(domain: int, outcome: str, steps: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'support.launch.lifecycle_session', outcome],
        capture_output=True,
        text=True,
        timeout=90.0,
    )
    assert done.returncode == 0, done.stderr
    # The first transition may be over before launch hears the node. Which of two handlers of one
    # event comes first is launch's own business.
    assert all(step in done.stdout for step in steps), done.stdout
    assert ('> activating' in done.stdout) == (outcome == 'success')
    assert ('refused' in done.stdout) == (outcome != 'success')


def test_activates_once_only() -> None:
    node = LifecycleNode(executable='fake', name='streamvlm', namespace='')
    activate, refused, started, _ = bring_up(node)
    assert started is node
    assert activate.event_handler.handle_once
    assert not refused.event_handler.handle_once


@pytest.mark.parametrize('autostart', ['true', 'false'])
def test_the_streams_node(autostart: str) -> None:
    given = dict.fromkeys(('model', 'namespace', 'params_file'), '')
    given.update(image='image', use_sim_time='false', log_level='info', autostart=autostart)
    actions = stream.stream_node(given)
    nodes = [action for action in actions if isinstance(action, LifecycleNode)]
    assert len(nodes) == 1
    assert (len(actions) == 1) == (autostart == 'false')
