# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process of the node: start, signals, end.

Heavy modules are imported late, so that a signal during their import ends the process cleanly.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import sys
import threading
import time
from typing import Any, Protocol, TYPE_CHECKING

from streamvlm_ros.interrupts import end_with_parent
from streamvlm_ros.nodes.signals import Stop, StopOnSignal

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

    from streamvlm_ros.nodes.stream_node import StreamNode

REPLY_TIME = 2.0  # seconds to send the last replies
LAST_SPINS = 100  # for each stream; each runs one callback or task; too many do no harm


class Companion(Protocol):
    """A second node of the process, such as one that publishes the images."""

    node: Node

    def stop(self) -> None:
        """End its threads; the executor still runs its node."""

    def destroy(self) -> None:
        """Leave the graph; no executor runs its node any more."""


def main(args: list[str] | None = None, companion: Callable[[], Companion] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: the command line, as for rclpy.init; None: sys.argv.
        companion: makes a second node that this process is to run, once there is the first.

    Returns:
        The process's exit code: 0 after a signal, 1 when the node could not start.

    """
    try:
        with StopOnSignal() as signals:
            end_with_parent()
            import rclpy
            from rclpy.signals import SignalHandlerOptions

            try:
                rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
            except RuntimeError as error:
                print(f'streamvlm: {_sentence(error)}', file=sys.stderr)
                return 1
            try:
                return _run(signals, sys.argv if args is None else args, companion)
            finally:
                rclpy.try_shutdown()
    except Stop:
        return 0


def _run(
    signals: StopOnSignal, arguments: list[str], companion: Callable[[], Companion] | None
) -> int:
    from rclpy.exceptions import InvalidParameterTypeException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.logging import get_logger

    from streamvlm_ros.nodes.parameters.parameter import ParameterError
    from streamvlm_ros.nodes.parameters.unmatched import unmatched_files
    from streamvlm_ros.nodes.stream_node import StreamNode

    executor = SingleThreadedExecutor()
    stopping = threading.Event()
    node: StreamNode | None = None
    spinner: threading.Thread | None = None
    beside: Companion | None = None
    try:
        node = StreamNode()
        signals.wake = node.transitions.wake
        names = [each.get_fully_qualified_name() for each in node.nodes]
        for fault in unmatched_files(arguments, names):
            node.get_logger().warning(fault)
        for each in node.nodes:
            executor.add_node(each)
        if companion is not None:
            beside = companion()
            executor.add_node(beside.node)
        spinner = threading.Thread(target=_spin, args=(executor, stopping, node), name='ros')
        spinner.start()
        # The main thread runs the transitions; a signal ends them, even while a model loads.
        if node.autostart and not node.start():
            return 1
        node.transitions.run()
        return 1  # only a spinner that dies ends it
    except Stop:
        return 0
    except ParameterError as error:
        get_logger('streamvlm').fatal(_sentence(error))
        return 1
    except InvalidParameterTypeException as error:  # of a parameter that rclpy itself declares
        get_logger('streamvlm').fatal(
            f'A parameter has the wrong type: {_sentence(error)}. In YAML, true, false and '
            'numbers are written without quotes.'
        )
        return 1
    finally:
        _end(node, executor, stopping, spinner, beside)


def _spin(executor: Executor, stopping: threading.Event, node: StreamNode) -> None:
    """Run callbacks until told to stop; one that raises is counted and does not end the node."""
    while not stopping.is_set():
        try:
            executor.spin_once()
        except Exception as error:  # see distributions.py
            if not executor.context.ok():
                node.transitions.end()
                return
            node.faults.caught(error, 'A callback')


def _end(
    node: StreamNode | None,
    executor: Executor,
    stopping: threading.Event,
    spinner: threading.Thread | None,
    beside: Companion | None,
) -> None:
    """Let open questions be refused, then end the threads and the node."""
    if beside is not None:
        beside.stop()
    if node is None or spinner is None:
        return
    node.stop()
    deadline = time.monotonic() + REPLY_TIME
    while node.open_requests and spinner.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    stopping.set()
    if spinner.is_alive():
        executor.wake()
        spinner.join()
    # The results of goals are sent in tasks of their own, after what has just been run.
    for _ in range(LAST_SPINS * len(node.nodes)):
        with contextlib.suppress(Exception):  # as in _spin
            executor.spin_once(timeout_sec=0)
    executor.shutdown()
    if beside is not None:
        beside.destroy()
    node.leave()


def _sentence(error: Any) -> str:
    """Return the error's text on one line."""
    return ' '.join(str(error).split())


if __name__ == '__main__':
    sys.exit(main())
