# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of nodes, launch files and bags share."""

from __future__ import annotations

from collections.abc import Generator, Iterator
import contextlib
import os
import pathlib
import time
import uuid

import pytest
from support.left_processes import end_left_processes, MARK
from support.segments import remove_left_segments

HERE = pathlib.Path(__file__).parent
BEGAN = time.time()
# Small models need one thread; the other core is the tests' own.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# pytest has put this folder on the path, for `support`; processes that tests start need it too.
os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [os.environ.get('PYTHONPATH'), str(HERE)]))
# Triton is an interpreter only if it was asked to be when it was imported, and others import it
# too. Processes that tests start are to compile theirs.
os.environ['TRITON_INTERPRET'] = '1'
with contextlib.suppress(ImportError):
    import triton.language  # noqa: F401
del os.environ['TRITON_INTERPRET']


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--whole`, with which heavy proofs run with all their cases."""
    parser.addoption(
        '--whole',
        action='store_true',
        help='run the cases too that heavy proofs have for `make bars` only',
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what asks for a ROS graph of its own as `ros`."""
    if 'domain' in getattr(item, 'fixturenames', ()):
        item.add_marker(pytest.mark.ros)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs with `--whole` only, and what needs a GPU that is not there."""
    marks = [] if config.getoption('whole') else ['whole']
    if any(item.get_closest_marker('gpu') for item in items) and not _has_gpu():
        marks.append('gpu')
    left_out = [item for item in items if any(map(item.get_closest_marker, marks))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not any(map(item.get_closest_marker, marks))]


def _has_gpu() -> bool:
    """Return whether PyTorch sees a GPU; asked only where a test needs one."""
    import torch

    return torch.cuda.is_available()


def pytest_configure(config: pytest.Config) -> None:
    """Mark the processes of this run, unless this is one of its workers."""
    if not hasattr(config, 'workerinput'):
        os.environ[MARK] = uuid.uuid4().hex


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Remove what tests have left: processes, which is a failure, and then their shared memory.

    Nodes that were killed leave 64 MiB each. The workers have ended before: xdist waits for them,
    and kills them if they are too slow after Ctrl-C, so that nothing ends what they had started.
    """
    result = yield
    if hasattr(session.config, 'workerinput'):
        return result
    left = end_left_processes(os.environ[MARK])
    remove_left_segments(BEGAN)
    reporter = session.config.pluginmanager.get_plugin('terminalreporter')
    for command in left:
        if reporter is not None:
            reporter.write_line(f'A process was left behind, and killed: {command}', red=True)
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return result


@pytest.fixture(scope='session')
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the folder of a random Qwen2.5-VL whose answers depend strongly on what it saw."""
    from support.models.model_folder import write_model_folder

    return write_model_folder(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def domain() -> Iterator[int]:
    """Give a module a ROS graph of its own, on this machine only."""
    pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
    pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')
    from streamvlm_ros import environment

    before = dict(os.environ)
    os.environ.update(environment.private_graph())
    environment.use_camera_profile(os.environ)
    yield int(os.environ['ROS_DOMAIN_ID'])
    os.environ.clear()
    os.environ.update(before)
