# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read a bag, a video, a folder of pictures or a camera into the engine, without ROS, and ask."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import json
import sys
from typing import Any, TYPE_CHECKING

from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import NANOSECONDS, to_nanoseconds

if TYPE_CHECKING:
    from streamvlm_ros.bags.bags import ImageBag
    from streamvlm_ros.engine import VideoStreamingInference
    from streamvlm_ros.engine.serving.frame_queue import FrameQueue
    from streamvlm_ros.sources import Source
    from streamvlm_ros.sources.video import Picture


Feed = Callable[['VideoStreamingInference', dict[str, Any]], dict[str, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        'source',
        metavar='SOURCE',
        help='the folder of a bag, or one file of it: .mcap, .db3, or .bag of ROS 1; or a video '
        'file, a folder of pictures, a URL, or a webcam (a number)',
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
        '--folder-rate',
        metavar='HZ',
        type=float,
        default=1.0,
        help='pictures a second of a folder of pictures (1)',
    )
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
    from streamvlm_ros.sources.address import Kind, kind_of, path_of

    # What is to be read is looked at before a model is loaded, which may take minutes.
    if kind_of(arguments.source) is not Kind.BAG:
        return _replay_source(arguments)
    from streamvlm_ros.bags.bags import open_images

    path = path_of(arguments.source)
    with open_images(path, arguments.topic) as images:
        for fault in images.faults:
            _progress(fault)
        topic = images.topic
        if not topic.messages:
            raise CommandError(f'{path} has no message on {topic.name}.')
        lost = f'; {images.missing} more were recorded' if images.missing else ''
        _progress(f'{path} has {topic.messages} images on {topic.name}{lost}.')
        return _replay(arguments, lambda engine, values: _feed_bag(engine, values, images))


def _replay_source(arguments: argparse.Namespace) -> int:
    """Replay what is no bag."""
    from streamvlm_ros.sources import open_source

    # As the bag of a camera whose clock began a second before.
    with open_source(
        arguments.source,
        folder_rate=arguments.folder_rate,
        start_ns=NANOSECONDS,
        on_event=_progress,
    ) as source:
        if source.is_live and arguments.until is None:
            raise CommandError(
                f'{source.name} has no end; say with --until SEC how long it is to be watched.'
            )
        _progress(f'Reading {source.name}.')
        return _replay(
            arguments,
            lambda engine, values: _feed_source(engine, source, arguments.until),
        )


def _replay(arguments: argparse.Namespace, feed_all: Feed) -> int:
    from streamvlm_ros.engine import StreamError
    from streamvlm_ros.nodes.loading import load_engine
    from streamvlm_ros.nodes.parameters.parameters import check_values

    try:
        values = check_values(parse_parameters(arguments.param))
        engine = load_engine(values, _progress)
        counts = feed_all(engine, {**values, 'until': arguments.until})
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


def _feed_bag(
    engine: VideoStreamingInference, values: Mapping[str, Any], images: ImageBag
) -> dict[str, int]:
    known = len(images.faults)
    messages = read_until(images.recorded(), values['until'])
    counts = feed(engine, messages, depth_range=float(values['depth_range']))
    for fault in images.faults[known:]:
        _progress(fault)
    if images.damaged:
        _progress(images.last_damage)
    counts['frames_failed'] += images.damaged
    counts['frames_missing'] = images.missing
    return counts


def _feed_source(
    engine: VideoStreamingInference, source: Source, until: float | None
) -> dict[str, int]:
    counts = feed_frames(engine, frames_until(source, until))
    counts['frames_failed'] += source.status().broken
    return counts


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


def frames_until(
    frames: Iterable[tuple[int, Picture]], seconds: float | None
) -> Iterator[tuple[int, Picture]]:
    """Yield a source's frames up to some seconds after the first one; None: all."""
    first: int | None = None
    for stamp_ns, picture in frames:
        first = stamp_ns if first is None else first
        if seconds is not None and stamp_ns - first > seconds * NANOSECONDS:
            return
        yield stamp_ns, picture


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
    from streamvlm_ros.nodes.images.compressed import decode_compressed
    from streamvlm_ros.nodes.images.images import decode_image, ImageError

    intake = _Intake(engine)
    for recorded_ns, message in images:
        stamp_ns = to_nanoseconds(message.header.stamp)
        if not intake.queue.leave_out(stamp_ns, recorded_ns):
            try:
                decode = decode_compressed if is_compressed(message) else decode_image
                image = decode(message, engine.settings.max_image_pixels, depth_range)
            except ImageError as error:
                intake.queue.count_lost(str(error), failed=1)
            else:
                intake.queue.put(image, stamp_ns, message.header.frame_id, recorded_ns)
        intake.append()
    return intake.finish()


def feed_frames(
    engine: VideoStreamingInference, frames: Iterable[tuple[int, Picture]]
) -> dict[str, int]:
    """Append a source's frames, as `feed` does a bag's; their stamps are also their arrivals."""
    intake = _Intake(engine)
    for stamp_ns, picture in frames:
        intake.queue.put(picture, stamp_ns, 'camera', stamp_ns)
        intake.append()
    return intake.finish()


class _Intake:
    """The way into an engine that frames take in the node, without its threads."""

    def __init__(self, engine: VideoStreamingInference) -> None:
        from streamvlm_ros.engine.serving.frame_queue import FrameQueue
        from streamvlm_ros.engine.serving.metrics import Counters

        self._engine, self._counters, self._said = engine, Counters(), ''
        # One image may confirm another that was held back; more than these two never wait.
        self.queue = FrameQueue(engine.settings, 2, self._counters)

    def append(self) -> None:
        """Append what the queue has taken, and say the first fault."""
        _append_all(self._engine, self.queue)
        if self._counters.last_error and not self._said:
            self._said = self._counters.last_error
            _progress(self._said)

    def finish(self) -> dict[str, int]:
        """Append what was held back, as no later image can contradict it; return the counts."""
        self.queue.release()
        _append_all(self._engine, self.queue)
        counters = self._counters
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
