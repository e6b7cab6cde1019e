# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can be said of the Docker files without Docker: all that they name is there."""

from __future__ import annotations

import os
import pathlib
import re
from xml.etree import ElementTree

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / 'docker' / 'Dockerfile').read_text()
COMPOSE = yaml.safe_load((ROOT / 'docker' / 'compose.yaml').read_text())


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = set((ROOT / '.dockerignore').read_text().split())
    sources = re.findall(r'^COPY (\S+) ', DOCKERFILE, re.MULTILINE)
    assert len(sources) == 3
    for source in sources:
        assert (ROOT / source).exists()
        assert source.partition('/')[0] not in ignored
    assert os.access(ROOT / 'docker' / 'entrypoint', os.X_OK)


def test_keys_that_rosdep_skips_are_those_that_pip_installs() -> None:
    (skipped,) = re.findall(r'--skip-keys "([^"]*)"', DOCKERFILE)
    needed = {e.text for e in ElementTree.parse(ROOT / 'package.xml').findall('exec_depend')}
    assert {key for key in needed if str(key).endswith('-pip')} <= set(skipped.split()) <= needed


def test_services_start_launch_files_with_a_gpu() -> None:
    assert set(COMPOSE['services']) == {'workstation', 'jetson'}
    for name, service in COMPOSE['services'].items():
        assert (
            ROOT / 'docker' / service['build']['context'] / service['build']['dockerfile']
        ).resolve() == ROOT / 'docker' / 'Dockerfile'
        launch = service['command'].split()[3]
        assert launch == f'{name}.launch.py' and (ROOT / 'launch' / launch).is_file()
        assert service['ipc'] == service['network_mode'] == 'host'
        assert 'deploy' in service or service['runtime'] == 'nvidia'
    assert set(COMPOSE['services']['jetson']['build']['args']) == set(
        re.findall(r'^ARG (\w+)', DOCKERFILE, re.MULTILINE)
    ) - {'ROS_DISTRO'}


def test_nobody_is_root_and_the_hosts_files_are_not_there() -> None:
    user = re.findall(r'^USER (\S+)', DOCKERFILE, re.MULTILINE)
    assert user == ['streamvlm']
    # What runs afterwards runs as that user, from the number that is given.
    behind = DOCKERFILE.split('USER streamvlm')[1]
    assert 'RUN' not in behind and 'ENTRYPOINT' in behind
    assert re.search(r'useradd --uid "\$\{USER_ID\}".* streamvlm', DOCKERFILE)
    assert not re.search(r'\bUID\b', DOCKERFILE)  # in bash that is who runs it, and read-only
    homes = set(re.findall(r'/home/streamvlm/\S+', DOCKERFILE))
    for service in COMPOSE['services'].values():
        assert service['build']['args']['USER_ID'] == '${USER_ID:-1000}'
        assert 'user' not in service and not service.get('privileged')
        assert service['cap_drop'] == ['ALL']
        for volume in service['volumes']:
            name, _, place = volume.partition(':')
            assert name in COMPOSE['volumes']
            # A volume takes the owner of the folder that the image has in its place.
            assert place in homes
    assert '/root' not in DOCKERFILE + (ROOT / 'docker' / 'compose.yaml').read_text()
