"""The domain that demos and tests take is one that nobody uses."""

from __future__ import annotations

import contextlib

import pytest
import rclpy
from rclpy.context import Context

from depth_ros.system import ros_domain


@contextlib.contextmanager
def node_in(domain: int):
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node('somebody', context=context)
    try:
        yield
    finally:
        node.destroy_node()
        context.try_shutdown()
        context.destroy()


def test_a_domain_with_a_node_is_not_free():
    domain = ros_domain.pick_free_domain()
    assert ros_domain._is_free(domain)
    with node_in(domain):
        assert not ros_domain._is_free(domain)


@pytest.mark.parametrize('taken', [set(), set(range(1, 101)) - {42}])
def test_the_free_one_is_found(monkeypatch, taken):
    monkeypatch.setattr(ros_domain, '_is_free', lambda domain: domain not in taken)
    domain = ros_domain.pick_free_domain()
    assert 1 <= domain <= 100
    assert domain not in taken


def test_some_domain_is_taken_where_none_is_free(monkeypatch):
    monkeypatch.setattr(ros_domain, '_is_free', lambda domain: False)
    assert 1 <= ros_domain.pick_free_domain() <= 100
