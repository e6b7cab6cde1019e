# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Embedded vector engines side by side: what the index of moments could be built on.

    python -m venv /tmp/engines
    /tmp/engines/bin/pip install apsw sqlite-vec usearch lancedb pymilvus milvus-lite numpy psutil
    /tmp/engines/bin/python -m benchmark.search.engines ENGINE --vectors 1000000

One engine a process, because memory is measured. What it does: vectors of 512 dimensions, a second
apart, in batches of 500, each batch durable; questions for the nearest 50 over all, over the last
tenth and over one hour; the hour in the middle is deleted and its bytes are searched for; and in a
second process that is killed with SIGKILL while it inserts, what is there afterwards. Times are of
the processor, all threads together, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import psutil

from benchmark.search.candidates import BATCH, COUNT, DIMENSIONS, ENGINES, SECOND, vectors


def size(folder: pathlib.Path) -> int:
    """Return the bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())


def holds(folder: pathlib.Path, needle: bytes) -> bool:
    """Tell whether some bytes are in any file."""
    return any(needle in path.read_bytes() for path in folder.rglob('*') if path.is_file())


def exact(total: int, row: np.ndarray, since: int, until: int) -> set[int]:
    """Return the true nearest, in float32."""
    best: list[tuple[float, int]] = []
    for first in range(0, total, 20_000):
        count = min(20_000, total - first)
        scores = inserted(first, count) @ row
        stamps = np.arange(first, first + count) * SECOND
        scores[(stamps < since) | (stamps > until)] = -2
        for i in np.argpartition(-scores, min(COUNT, count - 1))[:COUNT]:
            best.append((float(scores[i]), first + int(i)))
    return {i for _, i in sorted(best, reverse=True)[:COUNT]}


def inserted(first: int, count: int) -> np.ndarray:
    """Return vectors in the batches in which they were inserted."""
    return np.concatenate([vectors(i, BATCH) for i in range(first, first + count, BATCH)])


def killed(name: str, folder: pathlib.Path) -> dict[str, Any]:
    """Kill a process that inserts; return what the next one finds."""
    command = [
        sys.executable,
        '-m',
        'benchmark.search.engines',
        name,
        '--insert-into',
        str(folder),
        '--vectors',
    ]
    lost, before = [], 0
    for attempt in range(3):
        process = subprocess.Popen(
            [*command, str(attempt * 200_000)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        wanted, told = random.Random(attempt).randint(8, 20), 0
        for line in process.stdout:
            told = int(line)
            wanted -= 1
            if not wanted:
                break
        time.sleep(0.02 * attempt)
        process.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in process.stdout)])
        process.wait()
        try:
            engine = ENGINES[name](folder)
            found = engine.count()
            row = vectors(0, BATCH)[7]
            near = engine.search(row, 0, 1 << 62)
            engine.close()
        except Exception as error:
            return {'after SIGKILL': f'does not open: {error!r:.200}'}
        lost.append([told, found - before, bool(near and near[0] == 7)])
        before = found
    return {'after SIGKILL (told, found, finds)': lost}


def main() -> None:
    """Measure one engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('engine', choices=ENGINES)
    parser.add_argument('--vectors', type=int, default=200_000)
    parser.add_argument('--queries', type=int, default=20)
    parser.add_argument('--insert-into', type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.insert_into:
        engine = ENGINES[arguments.engine](arguments.insert_into)
        first = arguments.vectors
        for start in range(first, first + 200_000, BATCH):
            engine.add(start, vectors(start, BATCH))
            print(start + BATCH - first, flush=True)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        result: dict[str, Any] = {'engine': arguments.engine, 'vectors': arguments.vectors}
        engine = ENGINES[arguments.engine](folder)
        before, spent, longest = psutil.Process().memory_info().rss, 0.0, 0.0
        for first in range(0, arguments.vectors, BATCH):
            rows = vectors(first, BATCH)
            began = time.process_time()
            engine.add(first, rows)
            took = time.process_time() - began
            spent, longest = spent + took, max(longest, took)
        result['inserted a second'] = round(arguments.vectors / spent)
        result['longest batch, ms'] = round(longest * 1e3)
        engine.close()
        result['MB after inserting'] = round((psutil.Process().memory_info().rss - before) / 1e6)
        result['MB on disk'] = round(size(folder) / 1e6)
        began = time.process_time()
        engine = ENGINES[arguments.engine](folder)
        end = arguments.vectors * SECOND
        spans = {
            'all': (0, end),
            'tenth': (end - end // 10, end),
            'hour': (end // 2, end // 2 + 3600 * SECOND),
        }
        for label, (since, until) in spans.items():
            times, recall = [], []
            for number in range(arguments.queries):
                at = int(np.random.default_rng((5, number)).integers(arguments.vectors // BATCH))
                noise = np.random.default_rng((6, number)).standard_normal(DIMENSIONS)
                row = vectors(at * BATCH, BATCH)[number] + 0.02 * noise
                row = (row / np.linalg.norm(row)).astype(np.float32)
                began = time.process_time()
                found = engine.search(row, since, until)
                times.append(time.process_time() - began)
                if number < 3:
                    recall.append(
                        len(exact(arguments.vectors, row, since, until) & set(found)) / COUNT
                    )
            result[f'{label}: median ms'] = round(1e3 * float(np.median(times)), 1)
            result[f'{label}: worst ms'] = round(1e3 * max(times), 1)
            result[f'{label}: recall'] = round(float(np.mean(recall)), 3)
        result['MB after asking'] = round((psutil.Process().memory_info().rss - before) / 1e6)
        needle = engine.needle(vectors(arguments.vectors // 2 // BATCH * BATCH, BATCH)[5])
        result['bytes there before'] = holds(folder, needle[40:200])
        since = arguments.vectors // 2 * SECOND
        began = time.process_time()
        engine.remove(since, since + 3600 * SECOND)
        result['an hour removed in, s'] = round(time.process_time() - began, 2)
        result['count is right'] = engine.count() == arguments.vectors - 3601
        engine.close()
        result['bytes there after'] = holds(folder, needle[40:200])
        print(json.dumps(result), flush=True)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(killed(arguments.engine, pathlib.Path(name))), flush=True)


if __name__ == '__main__':
    main()
