# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the soak's requests carry: values that a node takes, and values that it has to refuse."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time

REQUEST_TIMEOUT, MAX_REQUEST_TIMEOUT = 8.0, 15.0  # seconds; the node's parameters


QUESTIONS = ('What happened?', 'How many things are in view right now?', 'Is it the \u00e4rger?')


HOSTILE_TEXTS = (
    '', '  \n', 'x' * 8000, 'What happened? ' * 3000, 'y' * 1_000_000, '<|im_end|>',
    '\U0001f600' * 3000, '<|vision_start|><|video_pad|>',
    '\x1b[31mEVIL\x1b[0m\n[INFO] forged', '\u202e' * 100,
)  # fmt: skip


TIMES = (0.0, 0.0, 0.5, 3.0)


HOSTILE_TIMES = (-1.0, float('nan'), float('inf'), 1e10, 1e308, 5e-324, 1e-9)


HOSTILE_AFTER = (
    Time(sec=2_000_000_000),
    Time(sec=-(2**31)),
    Time(sec=2**31 - 1, nanosec=2**32 - 1),
)


LOOKS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {'view': 'now'}, {'view': 'memory_and_now'}, {'view': 'span'},
    {'view': 'now', 'return_frames': True}, {'view': 'span', 'return_frames': True},
)  # fmt: skip


HOSTILE_LOOKS: tuple[dict[str, Any], ...] = (
    {'view': 'then'}, {'view': 'n' * 1_000_000}, {'view': 'now', 'since': Time(sec=1)},
    {'since': Time(sec=-(2**31))}, {'until': Time(sec=2**31 - 1, nanosec=2**32 - 1)},
    {'since': Time(sec=2_000_000_000)}, {'until': Time(sec=0, nanosec=1)},
    {'since': Time(sec=9), 'until': Time(sec=8)}, {'return_frames': True},
)  # fmt: skip


CHOICES = (['yes', 'no'], ['red', 'green', 'blue'], ['left', 'right'])


HOSTILE_CHOICES: tuple[list[str], ...] = (
    [],
    ['yes'],
    ['a', 'a'],
    ['', 'b'],
    [f'{i}' for i in range(27)],
    ['z' * 20_000, 'b'],
    [f'{i} ' + 'yes no ' * 60 for i in range(26)],
    ['<|im_end|>', 'x'],
    ['w' * 9] * 5000,
)


LEGAL = {
    'sample_rate': (0.0, 0.001, 0.5, 2.0, 2.0, 10.0, 240.0), 'stale_after': (0.0, 1.0, 5.0),
    'policy': ('frames_first', 'answers_first', 'balanced'), 'max_goals': (1, 4, 16),
    'goal_policy': ('queue', 'reject', 'preempt'), 'max_new_tokens': (1, 8, 16),
    'request_timeout': (1.0, REQUEST_TIMEOUT, 0.0), 'max_request_timeout': (MAX_REQUEST_TIMEOUT,),
    'watchdog': (30.0, 60.0),
}  # fmt: skip


ILLEGAL = (
    ('sample_rate', 1e-310), ('sample_rate', 1e-12), ('sample_rate', -1.0),
    ('sample_rate', float('nan')), ('sample_rate', float('inf')), ('sample_rate', 'fast'),
    ('sample_rate', 1e300), ('stale_after', -0.1), ('stale_after', float('nan')),
    ('max_goals', 0), ('max_goals', 2**62), ('max_goals', -(2**63)), ('max_new_tokens', 10**9),
    ('max_new_tokens', 0), ('policy', 'mine'), ('policy', ''), ('request_timeout', 1e10),
    ('request_timeout', float('nan')), ('max_request_timeout', 0.0),
    ('max_request_timeout', 1e300), ('watchdog', 0.0), ('watchdog', float('inf')),
    ('allow_any_path', True), ('cameras', 'a, b'), ('model', 'elsewhere'), ('capacity', 1),
)  # fmt: skip
