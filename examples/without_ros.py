# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask about a video or a camera, without ROS: `python3 without_ros.py SOURCE [SECONDS]`.

SOURCE is a video file, a folder of pictures, a bag, a webcam (0), or a URL: rtsp:// or http://.
A camera has no end, so it is watched for some SECONDS (10).
"""

import sys

from streamvlm_ros import StreamingVLM
from streamvlm_ros.sources import open_source


def main() -> None:
    """Show the frames to the model, and ask."""
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    with (
        # Opened first: a wrong address is said before a model is loaded.
        open_source(sys.argv[1], sample_rate=2.0, on_event=print) as source,
        StreamingVLM.from_pretrained('tiny') as vlm,  # or Qwen/Qwen2.5-VL-3B-Instruct
    ):
        first = None
        for stamp_ns, frame in source:
            first = first or stamp_ns
            if source.is_live and stamp_ns - first > seconds * 1e9:
                break
            vlm.append(frame, stamp_ns=stamp_ns)
        print(vlm.ask('Which object left last?').text)
        print(vlm.ask_choice('What colour is the light now?', ['red', 'green', 'blue']).text)


if __name__ == '__main__':
    main()
