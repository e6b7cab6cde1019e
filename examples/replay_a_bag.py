# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read a bag into the model without a ROS graph: `python3 replay_a_bag.py BAG [TOPIC]`."""

import pathlib
import sys

from streamvlm_ros import StreamingVLM
from streamvlm_ros.bags.bags import is_compressed, read_images
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.images import decode_image
from streamvlm_ros.stamps import to_nanoseconds


def main() -> None:
    """Show the bag to the model, and ask."""
    bag, topic = pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ''
    with StreamingVLM.from_pretrained('tiny') as vlm:  # or Qwen/Qwen2.5-VL-3B-Instruct
        for message in read_images(bag, topic):
            decode = decode_compressed if is_compressed(message) else decode_image
            vlm.append(decode(message), stamp_ns=to_nanoseconds(message.header.stamp))
        print(vlm.ask('Which object left last?').text)


if __name__ == '__main__':
    main()
