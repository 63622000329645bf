"""One graph of crops, network and combination, made of a model's own graph.

The model's graph stays as it is, in whatever precision and by whatever method it was trained:
only the cast of its bytes goes, since what the stages make are numbers already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, compose, helper
from torch import nn

from depth_ros.errors import ModelError
from training.export.graphs import module_to_onnx

_NETWORK, _AFTER, _GIVEN, _MADE = 'network_', 'after_', 'given', 'made'


@dataclass(frozen=True)
class Stage:
    """One tensor to one tensor, and an example of what it takes: a batch of 2."""

    module: nn.Module
    example: torch.Tensor


def wrap_graph(
    inner: ModelProto, before: Mapping[str, Stage], after: Stage | None, output: str
) -> ModelProto:
    """A graph whose inputs pass a stage each before the inner graph, and its answer one after.

    Args:
        inner: the graph of a model.
        before: what makes each of the inner graph's inputs of the new input of that name.
        after: what makes the new output; None: the inner graph's answer.
        output: name of the inner graph's output that is kept, and of the new one.

    Raises:
        ModelError: the inner graph does something else with bytes than casting them.
    """
    network = compose.add_prefix(_without_casts(inner), _NETWORK)
    parts: list[tuple[ModelProto, dict[str, str]]] = []
    for name, stage in before.items():
        given = compose.add_prefix(_exported(stage), f'{name}_')
        parts.append((given, {f'{name}_{_GIVEN}': name, f'{name}_{_MADE}': _NETWORK + name}))
    if after is None:
        parts.append((network, {_NETWORK + output: output}))
    else:
        parts.append((network, {}))
        last = compose.add_prefix(_exported(after), _AFTER)
        parts.append((last, {_AFTER + _GIVEN: _NETWORK + output, _AFTER + _MADE: output}))
    return _joined(inner, parts, tuple(before), output)


def _exported(stage: Stage) -> ModelProto:
    return module_to_onnx(stage.module, {_GIVEN: stage.example}, [_MADE])


def _joined(
    inner: ModelProto,
    parts: list[tuple[ModelProto, dict[str, str]]],
    inputs: tuple[str, ...],
    output: str,
) -> ModelProto:
    """The parts one after the other, their tensors renamed so that they meet."""
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    values = {}
    for model, names in parts:
        for node in model.graph.node:
            renamed = NodeProto.FromString(node.SerializeToString())
            renamed.input[:] = [names.get(name, name) for name in node.input]
            renamed.output[:] = [names.get(name, name) for name in node.output]
            nodes.append(renamed)
        constants.extend(model.graph.initializer)
        for value in (*model.graph.input, *model.graph.output):
            values[names.get(value.name, value.name)] = value
    ends = []
    for name in (*inputs, output):
        value = onnx.ValueInfoProto()
        value.CopyFrom(values[name])
        value.name = name
        value.type.tensor_type.shape.dim[0].dim_param = 'N'
        ends.append(value)
    graph = helper.make_graph(nodes, inner.graph.name, ends[:-1], ends[-1:], constants)
    result = helper.make_model(
        graph, opset_imports=inner.opset_import, ir_version=inner.ir_version
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def _without_casts(model: ModelProto) -> ModelProto:
    """The same graph taking numbers where it took bytes and cast them first of all."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for given in graph.input:
        if given.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        readers = [node for node in graph.node if given.name in node.input]
        casts = [
            node for node in readers
            if node.op_type == 'Cast' and node.attribute[0].i == TensorProto.FLOAT
        ]  # fmt: skip
        if not casts or len(casts) != len(readers):
            raise ModelError(
                f'the graph takes bytes as {given.name} and does not cast them to floats first of '
                'all; export the model anew'
            )
        answers = {node.output[0] for node in casts}
        for node in casts:
            graph.node.remove(node)
        for node in graph.node:
            node.input[:] = [given.name if name in answers else name for name in node.input]
        given.type.tensor_type.elem_type = TensorProto.FLOAT
    return result
