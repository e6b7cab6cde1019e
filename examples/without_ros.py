# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask about a video file, without ROS: `python3 without_ros.py VIDEO`."""

import sys

import cv2

from streamvlm_ros import StreamingVLM


def main() -> None:
    """Show the video to the model, and ask."""
    video = cv2.VideoCapture(sys.argv[1])
    with StreamingVLM.from_pretrained('tiny') as vlm:  # or Qwen/Qwen2.5-VL-3B-Instruct
        while True:
            is_read, frame = video.read()
            if not is_read:
                break
            seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            vlm.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), stamp=seconds)
        print(vlm.ask('Which object left last?').text)
        print(vlm.ask_choice('What colour is the light now?', ['red', 'green', 'blue']).text)


if __name__ == '__main__':
    main()
