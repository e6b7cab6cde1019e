# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy names what a running node has: no more, no less."""

from __future__ import annotations

import pathlib
from xml.etree import ElementTree

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.node import NodeNameNonExistentError
from support.nodes.node_process import Camera, NodeProcess

POLICY = pathlib.Path(__file__).parents[2] / 'config' / 'sros2' / 'streamvlm.policy.xml'
# By sros2's schema: list, entry, attributes.
LISTS = {
    'topics': ('topic', {'publish', 'subscribe'}),
    'services': ('service', {'reply', 'request'}),
    'actions': ('action', {'call', 'execute'}),
}
# An image's other transport, and a clock where use_sim_time says so.
NOT_ALWAYS = {'/image/compressed', '/clock'}
# What every node of rclpy may have or not, by distribution.
OF_SOME_DISTRIBUTIONS = {'/streamvlm/get_type_description'}


def granted(context: str) -> dict[str, set[str]]:
    """Return full names by what is granted: 'publish', 'reply' and so on."""
    (profile,) = ElementTree.parse(POLICY).findall(f".//context[@path='{context}']//profile")
    assert set(profile.attrib) == {'ns', 'node'}
    own = f'{profile.attrib["ns"]}{profile.attrib["node"]}'
    found: dict[str, set[str]] = {}
    for names in profile:
        entry, rights = LISTS[names.tag]
        assert {name.tag for name in names} == {entry}
        assert set(names.attrib) <= rights and set(names.attrib.values()) == {'ALLOW'}
        full = {f'{own}/{n.text[1:]}' if n.text.startswith('~') else f'/{n.text}' for n in names}
        assert len(full) == len(names)
        for right in names.attrib:
            found.setdefault(right, set()).update(full)
    return found


def test_form() -> None:
    """Elements and attributes are those of sros2's schema, in its order."""
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, set(root.attrib)) == ('policy', {'version'})
    (contexts,) = root
    assert contexts.tag == 'contexts'
    assert [c.attrib['path'] for c in contexts] == ['/streamvlm', '/streamvlm_asker']
    for context in contexts:
        assert [child.tag for child in context] == ['profiles']
        assert granted(context.attrib['path'])


def test_who_only_asks() -> None:
    """That is less than the node offers, and nothing that changes the stream."""
    node, asker = granted('/streamvlm'), granted('/streamvlm_asker')
    assert asker['request'] < node['reply']
    assert asker['call'] == node['execute']
    assert asker['subscribe'] - {'/clock'} <= node['publish']
    assert {name.rpartition('/')[2] for name in asker['request']} == {
        'ask',
        'ask_choice',
        'list_watches',
    }


def test_names_are_those_of_a_running_node(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    names = granted('/streamvlm')
    with NodeProcess(tmp_path, model=model_folder) as node, Camera(node) as camera:
        camera.wait_ready()
        graph = camera.node
        seen: dict[str, set[str]] = {}

        def look() -> bool:
            try:
                return is_as_granted()
            except NodeNameNonExistentError:
                return False  # its topics are found before its name

        def is_as_granted() -> bool:
            for right, found in (
                ('publish', graph.get_publisher_names_and_types_by_node),
                ('subscribe', graph.get_subscriber_names_and_types_by_node),
                ('reply', graph.get_service_names_and_types_by_node),
            ):
                seen[right] = {
                    name for name, _ in found('streamvlm', '/') if '/_action/' not in name
                }
            actions = get_action_server_names_and_types_by_node(graph, 'streamvlm', '/')
            seen['execute'] = {name for name, _ in actions}
            return (
                seen['publish'] == names['publish']
                and seen['subscribe'] == names['subscribe'] - NOT_ALWAYS
                and names['reply'] - OF_SOME_DISTRIBUTIONS <= seen['reply'] <= names['reply']
                and seen['execute'] == names['execute']
            )

        assert camera.wait_until(look, 20.0), {right: seen[right] ^ names[right] for right in seen}
        # It calls nobody: what it is not granted is 'request' and 'call'.
        assert not graph.get_client_names_and_types_by_node('streamvlm', '/')
        assert set(names) == {'publish', 'subscribe', 'reply', 'execute'}
        assert node.stop() == 0
