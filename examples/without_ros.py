# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask about a video file, without ROS: `python3 without_ros.py VIDEO`."""

import sys

import cv2

from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    VideoStreamingInference,
)


def main() -> None:
    """Show the video to the model, and ask."""
    path = resolve_model('tiny')  # or a folder, or what `streamvlm pull` has fetched
    model = StreamQwenModel.from_pretrained(path, dtype='float32')
    engine = VideoStreamingInference(model, load_processor(path), 'cpu')
    video = cv2.VideoCapture(sys.argv[1])
    while True:
        is_read, frame = video.read()
        if not is_read:
            break
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        engine.append_frame(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), seconds)
    print(engine.ask('Which object left last?').text)
    print(engine.ask_choice('What colour is the light now?', ['red', 'green', 'blue']).text)


if __name__ == '__main__':
    main()
