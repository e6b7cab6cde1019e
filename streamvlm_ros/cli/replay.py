# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read a bag directly into the engine, without a ROS graph, and ask."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import dataclasses
import json
import pathlib
import sys
from typing import Any, TYPE_CHECKING

from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import to_nanoseconds

if TYPE_CHECKING:
    from streamvlm_ros.bags.bags import ImageBag
    from streamvlm_ros.engine import VideoStreamingInference
    from streamvlm_ros.engine.serving.frame_queue import FrameQueue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        'bag',
        type=pathlib.Path,
        help='the folder of a bag, or one file of it: .mcap, .db3, or .bag of ROS 1',
    )
    parser.add_argument(
        '--ask',
        metavar='QUESTION',
        action='append',
        required=True,
        help='may be given several times',
    )
    parser.add_argument(
        '--choice',
        action='append',
        default=[],
        help='answers to choose from; give it 2 to 26 times',
    )
    parser.add_argument('--topic', default='', help='the image topic, if the bag has several')
    parser.add_argument(
        '--until',
        metavar='SEC',
        type=float,
        help="stop this many seconds after the first frame's stamp",
    )
    parser.add_argument(
        '-p',
        '--param',
        metavar='NAME:=VALUE',
        action='append',
        default=[],
        help='a parameter of the node, such as model:=tiny; may be given several times',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')


def run(arguments: argparse.Namespace) -> int:
    """Feed, ask and print; needs no ROS."""
    from streamvlm_ros.bags.bags import open_images

    with open_images(arguments.bag, arguments.topic) as images:
        # The bag is checked before a model is loaded, which may take minutes.
        for fault in images.faults:
            _progress(fault)
        topic = images.topic
        if not topic.messages:
            raise CommandError(f'{arguments.bag} has no message on {topic.name}.')
        lost = f'; {images.missing} more were recorded' if images.missing else ''
        _progress(f'{arguments.bag} has {topic.messages} images on {topic.name}{lost}.')
        return _replay(images, arguments)


def _replay(images: ImageBag, arguments: argparse.Namespace) -> int:
    from streamvlm_ros.engine import StreamError
    from streamvlm_ros.nodes.loading import load_engine
    from streamvlm_ros.nodes.parameters.parameters import check_values

    try:
        values = check_values(parse_parameters(arguments.param))
        engine = load_engine(values, _progress)
        known = len(images.faults)
        messages = read_until(images.recorded(), arguments.until)
        counts = feed(engine, messages, depth_range=float(values['depth_range']))
        for fault in images.faults[known:]:
            _progress(fault)
        if images.damaged:
            _progress(images.last_damage)
        counts['frames_failed'] += images.damaged
        counts['frames_missing'] = images.missing
        _progress(', '.join(f'{count} {name}' for name, count in counts.items()) + '.')
        answers = [_ask(engine, question, arguments.choice, values) for question in arguments.ask]
    except (StreamError, OSError, ValueError) as error:
        raise CommandError(' '.join(str(error).split())) from error
    if arguments.json:
        print(json.dumps({'answers': answers, **counts}))
    else:
        for answer in answers:
            print(answer['answer'])
    return 0


def parse_parameters(given: Iterable[str]) -> dict[str, Any]:
    """Return NAME:=VALUE texts as values of the types that YAML gives them.

    Raises:
        CommandError: a text is not NAME:=VALUE.

    """
    import yaml

    values = {}
    for text in given:
        name, separator, value = text.partition(':=')
        if not separator:
            raise CommandError(f'{text!r} is not NAME:=VALUE.')
        values[name] = yaml.safe_load(value) if value else ''
    return values


def read_until(
    images: Iterable[tuple[int, Any]], seconds: float | None
) -> Iterable[tuple[int, Any]]:
    """Yield a bag's images up to some seconds after the first one's stamp; None: all."""
    first: int | None = None
    for recorded_ns, message in images:
        stamp_ns = to_nanoseconds(message.header.stamp)
        first = stamp_ns if first is None else first
        if seconds is not None and stamp_ns - first > seconds * 1e9:
            return
        yield recorded_ns, message


def feed(
    engine: VideoStreamingInference,
    images: Iterable[tuple[int, Any]],
    depth_range: float = 0.0,
) -> dict[str, int]:
    """Append a bag's images as the node does, one by one; return what became of them.

    Args:
        engine: takes them.
        images: when each was recorded, in nanoseconds, and its message. A node would have
            received it then, and samples by that time if time_source is uniform.
        depth_range: as for `decode_image`.
    """
    from streamvlm_ros.bags.bags import is_compressed
    from streamvlm_ros.engine.serving.frame_queue import FrameQueue
    from streamvlm_ros.engine.serving.metrics import Counters
    from streamvlm_ros.nodes.images.compressed import decode_compressed
    from streamvlm_ros.nodes.images.images import decode_image, ImageError

    counters = Counters()
    # One image may confirm another that was held back; more than these two never wait.
    queue = FrameQueue(engine.settings, 2, counters)
    said = ''
    for recorded_ns, message in images:
        stamp_ns = to_nanoseconds(message.header.stamp)
        if not queue.leave_out(stamp_ns, recorded_ns):
            try:
                decode = decode_compressed if is_compressed(message) else decode_image
                image = decode(message, engine.settings.max_image_pixels, depth_range)
            except ImageError as error:
                queue.count_lost(str(error), failed=1)
            else:
                queue.put(image, stamp_ns, message.header.frame_id, recorded_ns)
        _append_all(engine, queue)
        if counters.last_error and not said:
            said = counters.last_error
            _progress(said)
    # No later image can contradict it.
    queue.release()
    _append_all(engine, queue)
    return {
        'frames_ingested': counters.ingested,
        'frames_sampled_out': counters.sampled_out,
        'frames_late': counters.late,
        'frames_failed': counters.failed,
        'frames_dropped': counters.dropped,
    }


def append_next(engine: VideoStreamingInference, queue: FrameQueue) -> bool:
    """Append the oldest waiting frame; if the engine refuses it, count it as dropped and say why.

    Returns:
        Whether a frame was waiting.

    """
    from streamvlm_ros.engine.errors import as_stream_error
    from streamvlm_ros.engine.serving.session import enter

    frame = queue.take()
    if frame is None:
        return False
    fault = None
    try:
        enter(engine, queue, frame)
    except Exception as error:
        fault = as_stream_error(error)
    queue.taken(frame, fault)
    queue.pending_frames = len(engine.stream.pending)
    return True


def _append_all(engine: VideoStreamingInference, queue: FrameQueue) -> None:
    while append_next(engine, queue):
        pass


def _ask(
    engine: VideoStreamingInference, question: str, choices: list[str], values: dict[str, Any]
) -> dict[str, Any]:
    from streamvlm_ros.nodes.parameters.parameters import answer_settings

    if choices:
        choice = engine.ask_choice(question, choices)
        return {
            'question': question,
            'answer': choice.text,
            'choice_index': choice.index,
            'choice_probabilities': [round(p, 6) for p in choice.probabilities],
        }
    text, metrics = engine.ask(
        question,
        max_new_tokens=values['max_new_tokens'],
        **dataclasses.asdict(answer_settings(values)),
    )
    return {'question': question, 'answer': text, **metrics}


def _progress(text: str) -> None:
    print(text, file=sys.stderr)
