# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a store with many small files, and forgets parts of it, until the process is killed.

    python -m support.store.write_until_killed FOLDER SEED

Prints `put NUMBER` after a frame was handed in, and `forgot NUMBER` when NUMBER and NUMBER + 1
were taken out.
"""

from __future__ import annotations

import functools
import pathlib
import random
import sys
import time

from support.store.scenes import picture, settings, stamp

from streamvlm_ros.store import folder as folders
from streamvlm_ros.store import recorder as recorders
from streamvlm_ros.store.recorder import Recorder

folders.LEAST_FILE_BYTES = 60_000
folders.SHARE = 1 << 30
recorders.TIDY = 0.02


def main(folder: pathlib.Path, seed: int) -> None:
    rng = random.Random(seed)
    recorder = Recorder(settings(folder))
    pictures = [picture(number) for number in range(16)]
    for number in range(5000):
        recorder.put(pictures[number % 16], stamp(0) + number * 10**7)
        print('put', number, flush=True)
        if number % 20 == 19 and rng.random() < 0.5:
            first = number - 19
            told = functools.partial(print, 'forgot', first, flush=True)
            forgotten = recorder.forget(stamp(0) + first * 10**7, stamp(0) + (first + 1) * 10**7)
            forgotten.add_done_callback(lambda _, told=told: told())  # type: ignore[misc]
        time.sleep(rng.uniform(0.005, 0.03))


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
