# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A private graph has a domain that no other process of this machine finds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamvlm_ros import environment

CHILD = """
import sys
from streamvlm_ros import environment
print(environment.free_domain_id(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize('sockets', [environment.SOCKETS, ()])
def test_two_processes_find_two_domains(
    sockets: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where both look before either has a socket, which no table shows then."""
    child = subprocess.Popen(
        [sys.executable, '-c', CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        theirs = int(child.stdout.readline())
        monkeypatch.setattr(environment, 'SOCKETS', sockets)
        monkeypatch.setattr(
            environment,
            'DOMAINS',
            [theirs, *(domain for domain in environment.DOMAINS if domain % 10 == theirs % 10)],
        )
        found = {environment.free_domain_id() for _ in range(40)}
    finally:
        child.communicate()
    assert theirs not in found and len(found) > 1
