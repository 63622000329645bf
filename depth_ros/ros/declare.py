"""The table of parameters as rclpy declares it."""

from __future__ import annotations

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from depth_ros.parameter_entry import TableEntry
from depth_ros.parameters import TABLE, NodeParameters


def declare_parameters(node: Node) -> NodeParameters:
    """Declare every parameter and read what the user gave.

    Raises:
        ConfigError: a value is not allowed.
    """
    declared = node.declare_parameters(
        '', [(entry.name, entry.ros_default, descriptor(entry)) for entry in TABLE]
    )
    return NodeParameters().changed({parameter.name: parameter.value for parameter in declared})


def descriptor(entry: TableEntry) -> ParameterDescriptor:
    """Text and bounds of one parameter."""
    meaning = entry.meaning
    described = ParameterDescriptor(
        name=entry.name, description=meaning.text, read_only=meaning.read_only
    )
    if entry.choices:
        described.additional_constraints = 'one of: ' + ', '.join(entry.choices)
    lowest, highest = meaning.lowest, meaning.highest
    if lowest is None or highest is None:
        return described
    if isinstance(entry.default, int):
        described.integer_range = [IntegerRange(from_value=int(lowest), to_value=int(highest))]
    else:
        described.floating_point_range = [
            FloatingPointRange(from_value=float(lowest), to_value=float(highest))
        ]
    return described
