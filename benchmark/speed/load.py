# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A worker under too much: twice the frames it can take, and questions back to back.

    python -m benchmark.speed.load --model tiny --device cpu

For each policy: how old frames are when they reach the stream, that every frame is counted, and
how long a question waits for its first token.  The sustainable rate is measured first, on a full
cache and without questions.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmark.common import harness
from benchmark.speed.offered_load import balanced, Load
from streamvlm_ros.engine import StreamWorker, VideoStreamingInference
from streamvlm_ros.engine.serving.scheduler import Policy
from streamvlm_ros.stamps import NANOSECONDS

QUEUE_FRAMES = 32


def sustainable_rate(engine: VideoStreamingInference, clip: list, seconds: float) -> float:
    """Return the frames a second that the engine takes, once its cache is full."""
    count = 0

    def append() -> None:
        nonlocal count
        engine.append_frame(clip[count % len(clip)], count * NANOSECONDS // 4)
        count += 1

    while not engine.get_cache_info().evicted_tokens and count < 40_000:
        append()
    began, first = time.perf_counter(), count
    while time.perf_counter() - began < seconds or count % engine.settings.chunk_frames:
        append()
    return (count - first) / (time.perf_counter() - began)


def measure(
    model: Any,
    policy: Policy,
    clip: list,
    rate: float,
    arguments: Any,
) -> dict[str, Any]:
    """Return one policy's row."""
    engine = harness.make_engine(model, capacity=arguments.capacity, sample_rate=0.0)
    worker = StreamWorker(engine, queue_frames=QUEUE_FRAMES, policy=policy.value)
    worker.start()
    load = Load(worker, clip, rate, arguments.askers, arguments.max_new_tokens)
    statuses = load.run(arguments.seconds)
    while (last := worker.status()).frames_waiting:
        time.sleep(0.05)
    worker.stop()
    wrong = sum(not balanced(status) for status in (*statuses, last))
    assert not wrong and last.frames_received == load.submitted, (wrong, last, load.submitted)
    first = sorted(answer.time_to_first_token for _, answer in load.answers)
    total = [seconds for seconds, _ in load.answers]
    tokens = sum(answer.completion_tokens for _, answer in load.answers)
    return {
        'policy': policy.value,
        'received': last.frames_received,
        'ingested': last.frames_ingested,
        'dropped': last.frames_dropped,
        'failed': last.frames_failed,
        'frames/s': last.frames_ingested / arguments.seconds,
        'worst frame age s': max(status.frame_age for status in statuses),
        'answers': len(first),
        'tokens/s': tokens / arguments.seconds,
        'median first token s': statistics.median(first),
        'worst first token s': first[-1],
        'worst answer s': max(total),
    }


def main() -> None:
    """Measure every policy and write ``results/load``."""
    made = harness.parser(__doc__ or '')
    made.add_argument('--seconds', type=float, default=20.0, help='for each policy')
    made.add_argument('--askers', type=int, default=2)
    made.add_argument('--max-new-tokens', type=int, default=32)
    arguments = made.parse_args()
    model, clip = harness.load_model(arguments), harness.frames(arguments)
    engine = harness.make_engine(model, capacity=arguments.capacity, sample_rate=4.0)
    rate = sustainable_rate(engine, clip, min(10.0, arguments.seconds))
    rows = [measure(model, policy, clip, 2 * rate, arguments) for policy in Policy]
    harness.write(
        'load',
        {
            **harness.machine(arguments),
            'sustainable_frames_per_s': rate,
            'offered': 2 * rate,
            'queue_frames': QUEUE_FRAMES,
            'seconds': arguments.seconds,
            'askers': arguments.askers,
            'max_new_tokens': arguments.max_new_tokens,
            'balanced': True,
            'rows': rows,
        },
        rows,
    )


if __name__ == '__main__':
    main()
