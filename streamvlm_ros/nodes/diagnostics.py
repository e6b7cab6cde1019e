# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stream's health as `/diagnostics` has it: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from streamvlm_ros.engine import WorkerStatus
from streamvlm_ros.nodes.images.arrivals import Losses, NO_LOSSES
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.store.recorder import StoreStatus

Finding = tuple[bytes, str]  # a level and the sentence for it

MOST_LATE = 0.01  # of all frames; fewer late ones are what a network does
MOST_NAMED = 4  # publishers in a sentence
MOST_COMPLAINT = 1000  # characters
NO_STORE = StoreStatus()
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def diagnostic_array(statuses: Sequence[DiagnosticStatus], stamp: Time) -> DiagnosticArray:
    """Return the message for `/diagnostics`: one status per stream of the node."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp
    return message


def hardware_id(host: str, device: str, node: str) -> str:
    """Return what tells a node's entry from those of all others of the robot.

    Args:
        host: name of the machine.
        device: that the model is on, or is for.
        node: the node's fully qualified name.
    """
    return f'{host}:{device}:{node}'


def idle_diagnostic(node: str, hardware_id: str, why: str) -> DiagnosticStatus:
    """Return the entry of a node without a stream, before and while the model loads.

    Args:
        node: the node's fully qualified name.
        hardware_id: as `hardware_id` returns it.
        why: a sentence, such as 'The model is being loaded.'
    """
    return DiagnosticStatus(
        level=OK, name=_name(node), hardware_id=hardware_id, message=why, values=[]
    )


def stream_diagnostic(
    node: str,
    hardware_id: str,
    status: WorkerStatus,
    before: WorkerStatus | None = None,
    *,
    gpu_bytes: int | None = None,
    watchdog: float = float('inf'),
    topic: str = '',
    publishers: Sequence[str] = (),
    delivery: str = '',
    losses: Losses = NO_LOSSES,
    complaints: Sequence[str] = (),
    store: StoreStatus = NO_STORE,
) -> DiagnosticStatus:
    """Return the entry of a stream; its level is that of the worst problem.

    Args:
        node: the node's fully qualified name.
        hardware_id: as `hardware_id` returns it.
        status: the stream as it is now.
        before: as it was in the last report. What was dropped or failed since then is a warning;
            what was lost earlier is not any more. None: this is the first report.
        gpu_bytes: memory that the process holds on the GPU; None: no GPU.
        watchdog: seconds in which the model's thread must come round.
        topic: of the images.
        publishers: full names of the nodes that publish on it.
        delivery: of the images: reliable or best effort.
        losses: images that came and were lost in the last seconds.
        complaints: sentences about what was lost, with what to do.
        store: what the store of frames tells.
    """
    # Sorted by level: the worst comes first, and equal ones keep their order.
    found = [
        *thread_findings(status, watchdog),
        *findings(status, before),
        *publisher_findings(topic, publishers),
        *((WARN, sentence(complaint, MOST_COMPLAINT)) for complaint in complaints),
    ]
    found.sort(key=lambda finding: finding[0], reverse=True)
    if found:
        level, message = found[0][0], ' '.join(sentence for _, sentence in found)
    else:
        level, message = OK, _all_is_well(status)
    shown = {
        **key_values(status, gpu_bytes),
        'Publishers': f'{len(publishers)}',
        'Delivery': delivery,
        'Publishing rate (Hz)': f'{losses.rates[1]:.1f}',
        'Frames lost on the way': f'{losses.total}',
        'Stored frames': f'{store.frames}',
        'Store (bytes)': f'{store.bytes}',
        'Store: frames thinned': f'{store.thinned}',
        'Store: frames dropped': f'{store.dropped}',
    }
    values = [KeyValue(key=key, value=value) for key, value in shown.items()]
    return DiagnosticStatus(
        level=level, name=_name(node), hardware_id=hardware_id, message=message, values=values
    )


def thread_findings(status: WorkerStatus, watchdog: float) -> list[Finding]:
    """Return what is wrong with the model's thread, if its turn takes too long."""
    if not status.activity_seconds > watchdog:
        return []
    return [
        (
            ERROR,
            f'The thread of the model has not finished a turn for {status.activity_seconds:.0f} s '
            f'(watchdog: {watchdog:g} s); it is busy with: {sentence(status.activity)}. If that '
            'does not end, restart the node.',
        )
    ]


def publisher_findings(topic: str, publishers: Sequence[str]) -> list[Finding]:
    """Return that several nodes publish the images, whose stamps then jump back and forth."""
    if len(publishers) < 2:
        return []
    named = ', '.join(publishers[:MOST_NAMED])
    more = len(publishers) - MOST_NAMED
    others = f' and {more} more' if more > 0 else ''
    number = {2: 'Two', 3: 'Three'}.get(len(publishers), f'{len(publishers)}')
    return [
        (
            WARN,
            f'{number} publishers on {topic}: {sentence(named)}{others}; stop all but one, or '
            'give each camera its own stream (cameras).',
        )
    ]


def findings(status: WorkerStatus, before: WorkerStatus | None) -> list[Finding]:
    """Return what is wrong with a stream, as levels and sentences that say what to do."""
    found: list[Finding] = []
    last_error = sentence(status.last_error)

    def since(counter: str) -> int:
        return int(getattr(status, counter) - (getattr(before, counter) if before else 0))

    if status.state == 'error':
        found.append((ERROR, f'The stream has failed: {last_error}'))
    lost, faults = since('memory_losses'), since('internal_faults')
    if lost > 0:
        found.append(
            (
                ERROR,
                'The memory of the stream was lost because of a fault of the program, and a new '
                f'one has begun: {last_error}',
            )
        )
    elif faults > 0:
        found.append((WARN, f'A fault of the program was caught: {last_error}'))
    jumps = since('stamp_jumps')
    if jumps > 0:
        found.append((WARN, f'A new stream has begun: {last_error}'))
    late = since('frames_late')
    if late > 0 and status.frames_late > MOST_LATE * status.frames_received:
        found.append(
            (
                WARN,
                f'{late} frames since the last report were older than one before them and are '
                f'left out ({status.frames_late} of {status.frames_received} in all); check the '
                'clock of the camera, and that only one node publishes its images.',
            )
        )
    if status.state == 'waiting_for_images':
        found.append(
            (
                WARN,
                'No image has come yet; check the camera, the topic and its QoS '
                '(ros2 topic info -v).',
            )
        )
    elif status.state == 'stale':
        found.append(
            (
                WARN,
                'Images have stopped coming; check the camera, and whether the bag or '
                'simulation still runs.',
            )
        )
    dropped = since('frames_dropped')
    if dropped > 0:
        found.append(
            (
                WARN,
                f'{dropped} frames were dropped since the last report, because the model cannot '
                'keep up; lower sample_rate or max_pixels.',
            )
        )
    failed = since('frames_failed')
    if failed > 0 and status.state != 'error':
        found.append((WARN, f'{failed} frames failed since the last report: {last_error}'))
    return found


def key_values(status: WorkerStatus, gpu_bytes: int | None) -> Mapping[str, str]:
    """Return the numbers that the level comes from, as `rqt_robot_monitor` shows them."""
    values = {
        'State': status.state,
        'Epoch': f'{status.epoch}',
        'Input rate (Hz)': f'{status.input_rate:.1f}',
        'Ingest rate (Hz)': f'{status.ingest_rate:.1f}',
        'Frame age (s)': f'{status.frame_age:.3f}',
        'Frames received': f'{status.frames_received}',
        'Frames ingested': f'{status.frames_ingested}',
        'Frames sampled out': f'{status.frames_sampled_out}',
        'Frames dropped': f'{status.frames_dropped}',
        'Frames failed': f'{status.frames_failed}',
        'Frames late': f'{status.frames_late}',
        'Frames waiting': f'{status.frames_waiting}',
        'Stamp jumps': f'{status.stamp_jumps}',
        'Pending requests': f'{status.pending_requests}',
        'Cache tokens': f'{status.cache_tokens}',
        'Cache capacity': f'{status.cache_capacity}',
        'Evicted tokens': f'{status.evicted_tokens}',
        'Skipped patches': f'{status.skipped_patches}',
        'Chunks encoded alone': f'{status.chunks_alone}',
        'Chunks encoded together': f'{status.chunks_together}',
        'Cache memory (bytes)': f'{status.memory_bytes}',
        'Watch tokens': f'{status.watch_tokens}',
        'Watch time for a chunk (s)': f'{status.watch_seconds:.3f}',
        'Internal faults': f'{status.internal_faults}',
        'Memory losses': f'{status.memory_losses}',
        'Thread is busy with': sentence(status.activity) or 'nothing',
        'Thread is busy for (s)': f'{status.activity_seconds:.1f}',
        'Last error': sentence(status.last_error),
    }
    if gpu_bytes is not None:
        values['GPU memory (bytes)'] = f'{gpu_bytes}'
    return values


def _all_is_well(status: WorkerStatus) -> str:
    if status.state == 'paused':
        return 'Paused: images are ignored, questions are answered.'
    if status.evicted_tokens:
        return 'Streaming; the memory is full, the oldest frames make room for new ones.'
    return 'Streaming.'


def _name(node: str) -> str:
    """Return the entry's name; the node's comes first, as the aggregator groups by it."""
    return f'{node.lstrip("/")}: stream'
