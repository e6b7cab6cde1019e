# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node: `python3 ask.py [NODE]`."""

import sys

from streamvlm_ros.client import StreamClient, StreamError


def main() -> int:
    """Ask for free text, for a choice, of the newest frames, and for a text as it is written."""
    name = sys.argv[1] if len(sys.argv) > 1 else '/streamvlm'
    try:
        with StreamClient(name) as robot:
            robot.wait_until_ready(timeout=60.0)

            answer = robot.ask('Which object left last?')
            print(f'{answer.text} ({answer.frames} frames seen)')

            light = robot.ask_choice('What colour is the light now?', ['red', 'green', 'blue'])
            print(f'{light.choice} ({light.probabilities[light.choice]:.0%})')

            ball = robot.ask('Where is the yellow ball now?', view='now')
            seen = ball.evidence
            print(f'{ball.text} (from {seen.frames} frames, {seen.width} x {seen.height} pixels)')

            for text in robot.stream_answer('Where is the yellow ball now?'):
                print(text, end='', flush=True)
            print()
    except StreamError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
