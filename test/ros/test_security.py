"""The SROS 2 policy allows what a running node has, and nothing else."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from rclpy.node import NodeNameNonExistentError
from ros_harness import wait_for

pytest.importorskip('tf2_msgs', reason='without tf2_msgs the node has no transforms')

POLICY = Path(__file__).resolve().parents[2] / 'config' / 'security' / 'policy.xml'
NODE = 'depth_node'
OPTIONS = {'publish_tf': '/tf', 'scale_source': '/odometry', 'image_transport':
           '/image/compressed', 'use_sim_time': '/clock'}


def full_name(text):
    """Of a name as policies write it."""
    if text.startswith('~/'):
        return f'/{NODE}/{text[2:]}'
    return text if text.startswith('/') else f'/{text}'


def allowed(kind, access):
    profile = ElementTree.parse(POLICY).find('.//profile')
    assert (profile.get('ns'), profile.get('node')) == ('/', NODE)
    return [full_name(entry.text) for group in profile.findall(f'{kind}s')
            if group.get(access) == 'ALLOW' for entry in group.findall(kind)]


def names_of(listed):
    """What is known of the node; its diagnostics may come before its name does."""
    try:
        return sorted(name for name, _ in listed(NODE, '/'))
    except NodeNameNonExistentError:
        return []


def test_the_policy_is_what_a_running_node_has(network, peer, model):
    node = peer.node
    with network.depth_node(model=model):
        peer.wait_loaded()
        for expected, listed in (
            (allowed('topic', 'publish'), node.get_publisher_names_and_types_by_node),
            (allowed('topic', 'subscribe'), node.get_subscriber_names_and_types_by_node),
            (allowed('service', 'reply'), node.get_service_names_and_types_by_node),
        ):
            wait_for(lambda e=expected, names=listed: names_of(names) == sorted(e),
                     lambda e=expected, names=listed: f'{sorted(e)}; it has {names_of(names)}')
        assert names_of(node.get_client_names_and_types_by_node) == []
        assert allowed('service', 'request') == []


def test_what_options_add_stands_beside_them(network, peer, model):
    comments = re.findall(r'<!--\s*(\w+):.*?<topic>(.*?)</topic>', POLICY.read_text())
    assert {name: full_name(topic) for name, topic in comments} == OPTIONS
    node = peer.node
    options = {'publish_tf': True, 'scale_source': 'odometry', 'use_sim_time': True,
               'image_transport': 'compressed'}
    with network.depth_node(model=model, **options):
        peer.wait_loaded()

        def added():
            has = names_of(node.get_publisher_names_and_types_by_node)
            has += names_of(node.get_subscriber_names_and_types_by_node)
            return set(has) - {*allowed('topic', 'publish'), *allowed('topic', 'subscribe')}

        wait_for(lambda: added() == set(OPTIONS.values()), lambda: f'{OPTIONS}; it has {added()}')
