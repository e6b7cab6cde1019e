# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask several cameras at once: `python3 several_cameras.py front rear`."""

import asyncio
import contextlib
import sys

from streamvlm_ros.client import AsyncStreamClient


async def main() -> None:
    """Ask all of them, and print each answer with its camera."""
    cameras = sys.argv[1:] or ['front', 'rear']
    async with contextlib.AsyncExitStack() as stack:
        robots = [
            await stack.enter_async_context(AsyncStreamClient(f'/{camera}/streamvlm'))
            for camera in cameras
        ]
        await asyncio.gather(*(robot.wait_until_ready(timeout=60.0) for robot in robots))
        question, choices = 'What colour is the light now?', ['red', 'green', 'blue']
        answers = await asyncio.gather(*(robot.ask_choice(question, choices) for robot in robots))
    for camera, answer in zip(cameras, answers):
        print(f'{camera}: {answer.choice} ({answer.probabilities[answer.choice]:.0%})')


if __name__ == '__main__':
    asyncio.run(main())
