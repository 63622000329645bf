"""Makes a mixed-precision ONNX graph of a single-precision one, every type written out.

What lies between the first and the last convolution computes in half precision; input scaling,
disparity to depth and the averaging of motions keep single precision. So do layer norms: a
transformer's sum of all its blocks has values whose squares half precision cannot hold. Attention
is half as a whole, since that is what runtimes have one kernel for, which sums in single.

Types are part of the graph (casts, half weights), as runtimes with strong typing want it. Batch
norms are already folded into the convolutions in single precision, which half networks in torch
cannot do.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from depth_ros.errors import ModelError
from training.export.onnx_files import array_of, without_large_weights
from training.export.onnx_graph import between, convolutions

# Scales and regions of interest, which are no data.
_DATA_INPUTS = {'Resize': 1}
_SINGLE = frozenset({'LayerNormalization', 'Cast'})
_ANY_TYPE = frozenset({'Shape', 'Size', 'Cast'})


def to_half_precision(model: ModelProto, folder: Path | None = None) -> ModelProto:
    """The same graph with half-precision convolutions; inputs and outputs keep their types.

    folder: where the file of large weights is, for a graph that has one. Weights that become half
    lie in the result.

    Raises ModelError where the graph has no convolution or a weight exceeds what half can hold.
    """
    graph = model.graph
    singles = _single_tensors(model)
    inside = {
        i for i in between(graph, convolutions(graph)) if graph.node[i].op_type not in _SINGLE
    }
    halves = {name for i in inside for name in graph.node[i].output} & singles
    if not halves or halves & {output.name for output in graph.output}:
        raise ModelError('the graph has no convolution, or ends in one, and cannot be made fp16')
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    half_constants: list[TensorProto] = []
    converted: dict[str, str] = {}
    for i, original in enumerate(graph.node):
        node = NodeProto.FromString(original.SerializeToString())
        for position in _data_positions(node):
            name = node.input[position]
            if name not in singles or (i in inside) == (name in halves):
                continue
            if name not in converted:
                converted[name] = f'{name}_{"half" if i in inside else "single"}'
                if name in constants:
                    half = _half_tensor(constants[name], converted[name], folder)
                    half_constants.append(half)
                else:
                    to = TensorProto.FLOAT16 if i in inside else TensorProto.FLOAT
                    nodes.append(helper.make_node('Cast', [name], [converted[name]], to=to))
            node.input[position] = converted[name]
        nodes.append(node)
    return _with(model, nodes, half_constants)


def _single_tensors(model: ModelProto) -> set[str]:
    """Names of all tensors of single precision."""
    inferred = onnx.shape_inference.infer_shapes(without_large_weights(model)).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    unknown = {name for node in inferred.node for name in node.output if name} - kinds.keys()
    if unknown:
        raise ModelError(f'the type of {min(unknown)} is not known; the graph cannot be made fp16')
    return {name for name, kind in kinds.items() if kind == TensorProto.FLOAT}


def _data_positions(node: NodeProto) -> list[int]:
    if node.op_type in _ANY_TYPE:
        return []
    count = _DATA_INPUTS.get(node.op_type, len(node.input))
    return [i for i in range(min(count, len(node.input))) if node.input[i]]


def _half_tensor(tensor: TensorProto, name: str, folder: Path | None) -> TensorProto:
    values = array_of(tensor, folder)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= np.finfo(np.float16).max:
        raise ModelError(f'{tensor.name} holds {largest:g}, beyond half precision')
    return numpy_helper.from_array(values.astype(np.float16), name)


def _with(
    model: ModelProto, nodes: Iterable[NodeProto], more_constants: Iterable[TensorProto]
) -> ModelProto:
    """A model with other nodes and more constants, of which only those that they use are kept."""
    nodes = list(nodes)
    used = {name for node in nodes for name in node.input}
    graph = GraphProto(
        name=model.graph.name, node=nodes, input=model.graph.input, output=model.graph.output
    )
    graph.initializer.extend(t for t in model.graph.initializer if t.name in used)
    graph.initializer.extend(more_constants)
    return ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        metadata_props=model.metadata_props,
        graph=graph,
    )
