"""Stands in for ROS's launch, which no wheel has: runs a launch file and keeps what it starts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Recorded:
    """An action, or whatever else a launch file makes, with what it was made of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


class LaunchConfiguration:
    """The value of a launch argument."""

    def __init__(self, name: str) -> None:
        self._name = name

    def perform(self, context: dict[str, str]) -> str:
        return context[self._name]


_NAMES = {
    'launch': ('LaunchContext', 'LaunchDescription'),
    'launch.action': ('Action',),
    'launch.actions': (
        'DeclareLaunchArgument', 'ExecuteProcess', 'IncludeLaunchDescription', 'LogInfo',
        'OpaqueFunction', 'RegisterEventHandler', 'SetEnvironmentVariable', 'Shutdown',
    ),
    'launch.conditions': ('IfCondition', 'UnlessCondition'),
    'launch.event_handlers': ('OnProcessExit',),
    'launch.launch_description_sources': ('PythonLaunchDescriptionSource',),
    'launch.substitutions': (),
    'launch_ros': (),
    'launch_ros.actions': ('LifecycleNode', 'Node'),
    'launch_ros.parameter_descriptions': ('ParameterValue',),
}  # fmt: skip


class Launched:
    """What a launch file makes of arguments."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, path: Path, arguments: dict[str, str]
    ) -> None:
        """Run it.

        Args:
            monkeypatch: of the test.
            path: of the launch file.
            arguments: that are given; the others have their defaults.
        """
        for module_name, names in _NAMES.items():
            module = ModuleType(module_name)
            for name in names:
                setattr(module, name, type(name, (Recorded,), {}))
            monkeypatch.setitem(sys.modules, module_name, module)
        sys.modules['launch.substitutions'].LaunchConfiguration = LaunchConfiguration
        spec = importlib.util.spec_from_file_location('launch_file', path)
        file = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(file)
        (entities,) = file.generate_launch_description().args
        declared = {e.args[0]: e for e in entities if kind(e) == 'DeclareLaunchArgument'}
        assert arguments.keys() <= declared.keys()
        defaults = {n: e.kwargs.get('default_value') for n, e in declared.items()}
        self.context: dict[str, str] = {**defaults, **arguments}
        self.actions = [
            action
            for entity in entities
            if kind(entity) == 'OpaqueFunction' and self._is_wanted(entity)
            for action in entity.kwargs['function'](self.context)
        ]

    def of_kind(self, name: str) -> list[Recorded]:
        """The actions of one class."""
        return [action for action in self.actions if kind(action) == name]

    def node(self, action: Recorded) -> SimpleNamespace:
        """Namespace and remappings of a node; values of substitutions in their places."""
        namespace = self._value(action.kwargs['namespace'])
        pairs = [(a, self._value(b)) for a, b in action.kwargs['remappings']]
        return SimpleNamespace(namespace=namespace, remappings=pairs)

    def _is_wanted(self, entity: Recorded) -> bool:
        condition = entity.kwargs.get('condition')
        return condition is None or self._value(condition.args[0]) == 'true'

    def _value(self, value: Any) -> Any:
        return value.perform(self.context) if isinstance(value, LaunchConfiguration) else value


def kind(action: Recorded) -> str:
    """The name of its class in launch or launch_ros."""
    return type(action).__name__


def resolve(node: SimpleNamespace, topic: str) -> str:
    """The full name that ROS gives a node's topic: the first rule that fits decides."""

    def full(name: str) -> str:
        return name if name.startswith('/') else f'/{node.namespace}/{name}'.replace('//', '/')

    for old, new in node.remappings:
        if full(old) == full(topic):
            return full(new)
    return full(topic)
