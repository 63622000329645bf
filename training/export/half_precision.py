"""Makes a mixed-precision ONNX graph of a single-precision one, every type written out.

What lies between the first and the last convolution computes in half precision; input scaling,
disparity to depth and the averaging of motions keep single precision. Types are part of the graph
(casts, half weights), as runtimes with strong typing want it. Batch norms are already folded
into the convolutions in single precision, which half networks in torch cannot do.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from depth_ros.errors import ModelError
from training.export.onnx_graph import between, convolutions

# Inputs that keep their type whatever the data's: shapes, pads, axes, scales.
_DATA_INPUTS = {'Resize': 1, 'Pad': 1, 'Reshape': 1, 'ReduceMean': 1, 'Unsqueeze': 1, 'Slice': 1}


def to_half_precision(model: ModelProto) -> ModelProto:
    """The same graph with half-precision convolutions; inputs and outputs keep their types.

    Raises ModelError where the graph has no convolution or a weight exceeds what half can hold.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    inside = between(graph, convolutions(graph))
    half_names = {output for i in inside for output in graph.node[i].output}
    if not half_names or half_names & {output.name for output in graph.output}:
        raise ModelError('the graph has no convolution, or ends in one, and cannot be made fp16')
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    half_constants: list[TensorProto] = []
    converted: dict[str, str] = {}
    for i, node in enumerate(graph.node):
        for position in _data_positions(node):
            name = node.input[position]
            if (i in inside) == (name in half_names):
                continue
            if name not in converted:
                converted[name] = f'{name}_{"half" if i in inside else "single"}'
                if name in constants:
                    half_constants.append(_half_tensor(constants[name], converted[name]))
                else:
                    to = TensorProto.FLOAT16 if i in inside else TensorProto.FLOAT
                    nodes.append(helper.make_node('Cast', [name], [converted[name]], to=to))
            node.input[position] = converted[name]
        nodes.append(NodeProto.FromString(node.SerializeToString()))
    _replace(graph, nodes, half_constants)
    onnx.checker.check_model(result, full_check=True)
    return result


def _data_positions(node: NodeProto) -> list[int]:
    count = _DATA_INPUTS.get(node.op_type, len(node.input))
    return [i for i in range(min(count, len(node.input))) if node.input[i]]


def _half_tensor(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= np.finfo(np.float16).max:
        raise ModelError(f'{tensor.name} holds {largest:g}, beyond half precision')
    return numpy_helper.from_array(values.astype(np.float16), name)


def _replace(
    graph: GraphProto, nodes: Iterable[NodeProto], more_constants: Iterable[TensorProto]
) -> None:
    """Put the new nodes in, and keep only constants that they use."""
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *more_constants])
