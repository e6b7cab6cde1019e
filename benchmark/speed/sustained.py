# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The highest rate of frames that a worker keeps up with while it answers back to back.

    python -m benchmark.speed.sustained --dimensions 7B 3B --policies frames_first balanced

Random weights, 448 x 448, chunks of 4 frames, a full window of 16k tokens, answers of 64 tokens
asked for as soon as the one before has ended. A rate is kept up with when no frame is dropped and
the queue does not grow; the highest is found by bisection below what the engine takes without
questions. `--share 2` offers twice that instead, to see what policies do under load. Ages are
those of frames that reach the stream, by `WorkerStatus.frame_age`.
"""

from __future__ import annotations

import time
from typing import Any

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.timing import percentiles, Timer
from benchmark.speed.offered_load import balanced, Load
from streamvlm_ros.engine import StreamSettings, StreamWorker, VideoStreamingInference, warm_up
from streamvlm_ros.engine.serving.scheduler import Policy
from streamvlm_ros.stamps import NANOSECONDS

QUEUE_FRAMES = 64
ALONE_CHUNKS = 24
SETTLED = 0.25  # of a run is over before the queue is looked at


class Bench:
    """One model's stream, with a full window, that loads are put on one after another."""

    def __init__(self, name: str, arguments: Any) -> None:
        """Build the model, fill the window and measure the rate without questions."""
        arguments.width = arguments.height = arguments.side
        self._clip = harness.frames(arguments, 16)
        self._arguments = arguments
        model, processor = build(name, arguments.device, harness.DTYPES[arguments.dtype])
        self._engine = VideoStreamingInference(
            model,
            processor,
            settings=StreamSettings(
                sample_rate=0.0,
                max_pixels=arguments.side**2,
                min_pixels=arguments.side**2,
                memory_tokens=arguments.window,
                slack=arguments.slack,
            ),
        )
        warm_up([self._engine], print)
        self._newest_ns = 0
        while not self._engine.get_cache_info().evicted_tokens:
            self._chunk()
        self._engine.ask('Anything?', arguments.max_new_tokens)

        def chunks() -> None:
            for _ in range(ALONE_CHUNKS):
                self._chunk()

        frames = ALONE_CHUNKS * self._engine.settings.chunk_frames
        self.alone = 1e3 * frames / Timer(arguments.device).once(chunks)

    def _chunk(self) -> None:
        for number in range(self._engine.settings.chunk_frames):
            self._newest_ns += NANOSECONDS // 30
            self._engine.append_frame(self._clip[number], self._newest_ns)

    def offer(self, policy: str, rate: float) -> dict[str, Any]:
        """Offer frames at a rate while questions are asked; return what became of both."""
        arguments = self._arguments
        worker = StreamWorker(self._engine, queue_frames=QUEUE_FRAMES, policy=policy)
        worker.start()
        load = Load(
            worker, self._clip, rate, arguments.askers, arguments.max_new_tokens, self._newest_ns
        )
        began = time.perf_counter()
        statuses = load.run(arguments.seconds)
        took = time.perf_counter() - began
        while (last := worker.status()).frames_waiting:
            time.sleep(0.02)
        worker.stop()
        self._newest_ns = load.newest_ns
        assert all(map(balanced, (*statuses, last))), last
        settled = statuses[int(SETTLED * len(statuses)) :]
        grown = settled[-1].frames_waiting - settled[0].frames_waiting
        given = [answer for _, answer in load.answers]
        age = percentiles([status.frame_age for status in settled])
        first = percentiles([answer.time_to_first_token for answer in given])
        each = percentiles(
            [
                (a.total_time - a.time_to_first_token) / max(1, a.completion_tokens - 1)
                for a in given
            ]
        )
        chunk = self._engine.settings.chunk_frames
        return {
            'policy': policy,
            'offered fps': round(rate, 1),
            'kept up': not last.frames_dropped and grown <= max(2 * chunk, 0.02 * load.submitted),
            'ingested fps': round(settled[-1].frames_ingested / arguments.seconds, 1),
            'dropped': last.frames_dropped,
            'most waiting': max(status.frames_waiting for status in settled),
            'age p50 s': age['p50'],
            'age p95 s': age['p95'],
            'first token p50 s': first['p50'],
            'first token p95 s': first['p95'],
            'answers': len(given),
            'tokens/s of an answer': round(1 / each['p50'], 1),
            'tokens/s': round(sum(a.completion_tokens for a in given) / took, 1),
        }


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/sustained``, or ``results/overload`` of a given share."""
    made = card.parser(__doc__ or '')
    made.add_argument(
        '--policies',
        nargs='+',
        default=[Policy.FRAMES_FIRST.value],
        choices=[policy.value for policy in Policy],
    )
    made.add_argument(
        '--share',
        type=float,
        default=0.0,
        help='of the rate without questions: offer just that, and search nothing',
    )
    made.add_argument('--seconds', type=float, default=8.0, help='for each rate')
    made.add_argument('--steps', type=int, default=5, help='of the bisection')
    made.add_argument(
        '--at-least',
        type=float,
        default=0.0,
        help='share of the rate without questions that bisection begins at',
    )
    made.add_argument('--window', type=int, default=16384, help='tokens')
    made.add_argument('--slack', type=int, default=2, help='see StreamSettings')
    made.add_argument('--side', type=int, default=448, help='of the frames, in pixels')
    made.add_argument('--askers', type=int, default=1)
    made.add_argument('--max-new-tokens', type=int, default=64)
    arguments = made.parse_args(argv)
    result = 'overload' if arguments.share else 'sustained'
    tried: list[dict[str, Any]] = []
    best: list[dict[str, Any]] = []

    def write(show: bool) -> None:
        found = {'tried': tried} if arguments.share else {'best': best, 'tried': tried}
        harness.write(result, {**card.describe(arguments), **found}, tried, arguments.out, show)

    for name in arguments.dimensions:
        bench = Bench(name, arguments)
        print(f'{name}: {bench.alone:.1f} fps without questions', flush=True)
        for policy in arguments.policies:
            low, high = arguments.at_least * bench.alone, bench.alone
            best.append({'model': name, 'policy': policy, 'offered fps': 0.0})
            for _ in range(1 if arguments.share else arguments.steps):
                rate = arguments.share * bench.alone or (low + high) / 2
                row = {'model': name, 'fps alone': round(bench.alone, 1)} | bench.offer(
                    policy, rate
                )
                tried.append(row)
                print(row, flush=True)
                if row['kept up']:
                    low, best[-1] = rate, row
                else:
                    high = rate
                write(show=False)
        del bench
        card.free(arguments.device)
    write(show=True)


if __name__ == '__main__':
    main()
