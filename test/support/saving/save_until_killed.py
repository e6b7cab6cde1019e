# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Saves a stream over an older one again and again, and is killed in the middle each time.

    python -m support.saving.save_until_killed FOLDER POINTS SEED

Every attempt is a process of its own that SIGKILLs itself before, in or behind one of the system
calls that saving makes.  What lies there afterwards is compared with the two whole files and
loaded.  Prints one JSON object: how often it was the old and the new one, and the temporary files
left at the end.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
import pathlib
import random
import signal
import sys
from typing import Any

from support.models.random_models import processor, random_clip, random_model
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.store import atomic_file

torch.set_num_threads(1)
CALLS = ('open', 'write', 'fsync', 'rename', 'close')
WHEN = ('before', 'within', 'behind')
atomic_file.PIECE = 2048  # bytes a write call, so that there are many


class FakeOs:
    """The module ``os`` of the file's writer, with calls that are counted and may be deadly."""

    def __init__(self, deadly: int, when: str, part: float) -> None:
        self.calls = 0
        self._deadly, self._when, self._part = deadly, when, part

    def __getattr__(self, name: str) -> Any:
        return self._counted(name) if name in CALLS else getattr(os, name)

    def _counted(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            deadly = self.calls == self._deadly
            if deadly and self._when == 'within' and name == 'write':
                descriptor, data = arguments
                os.write(descriptor, data[: int(self._part * len(data))])
            if deadly and self._when != 'behind':
                os.kill(os.getpid(), signal.SIGKILL)
            result = getattr(os, name)(*arguments, **options)
            if deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


def stream(frames: int) -> VideoStreamingInference:
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(capacity=256, skip_static=1.0),
    )
    for i, frame in enumerate(random_clip(3, frames, 56, 84)):
        engine.append_frame(frame, 1.0 + i)
    return engine


def main(folder: pathlib.Path, points: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    path = folder / 'stream.safetensors'
    old, new, reader = stream(9), stream(21), stream(1)
    new.save(path)
    new_bytes = path.read_bytes()
    old.save(path)
    old_bytes = path.read_bytes()
    # Counts what saving over an old file calls.
    counting = FakeOs(0, '', 0.0)
    atomic_file.os = counting  # type: ignore
    new.save(path)
    calls = counting.calls
    assert path.read_bytes() == new_bytes != old_bytes
    # The last calls, around the renaming, each in every way; the others by chance.
    plan = [(call, when) for call in range(calls - 4, calls + 1) for when in WHEN]
    plan += [(rng.randrange(1, calls - 4), rng.choice(WHEN)) for _ in range(points - len(plan))]
    found = {'calls': calls, 'old': 0, 'new': 0}
    for call, when in plan:
        path.write_bytes(old_bytes)
        child = os.fork()
        if not child:
            atomic_file.os = FakeOs(call, when, rng.random())  # type: ignore
            new.save(path)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        rng.random()
        content = path.read_bytes()
        which = {old_bytes: 'old', new_bytes: 'new'}[content]
        assert reader.load(path).frames == {'old': 9, 'new': 21}[which]
        found[which] += 1
    path.write_bytes(old_bytes)
    new.save(path)
    found['left'] = len(list(folder.iterdir())) - 1
    return found


if __name__ == '__main__':
    print(json.dumps(main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
