"""OpenVINO, on the CPU."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from depth_ros.backends.backend import ImmediateBackend
from depth_ros.backends.cores import physical_cores
from depth_ros.backends.eight_bits import sums_bytes_exactly
from depth_ros.backends.options import BackendOptions, CpuPrecision, Device
from depth_ros.errors import BackendError

_DEVICE, _BF16 = 'CPU', 'BF16'
_TELEMETRY = 'openvino_telemetry'
_PRECISIONS = {'f32': 'fp32', 'f16': 'fp16', 'bf16': 'bf16', 'i8': 'int8', 'u8': 'int8'}
_POINTWISE = frozenset({'FakeQuantize', 'Convert', 'Add', 'Subtract', 'Multiply', 'Divide', 'Relu',
                        'Clamp', 'Elu'})  # fmt: skip
_HEAVY_LAYERS = frozenset({'Convolution', 'Deconvolution', 'FullyConnected', 'MatMul'})


class _Tensor(NamedTuple):
    """An input or an output of the graph; `rest` is its shape without N."""

    name: str
    dtype: np.dtype[Any]
    rest: tuple[int, ...]


class OpenVinoBackend(ImmediateBackend):
    """A graph that OpenVINO compiled for single frames.

    A run of N frames is N runs of one. Measured with four frames, that takes 1 to 7 % less time
    than a graph of dynamic N; one compiled for four would take up to 6 % less still, but another
    copy of the weights and a pause of up to a second at each new N.
    """

    def __init__(self, onnx_path: Path, options: BackendOptions) -> None:
        """Load the graph.

        Args:
            onnx_path: its inputs and outputs have N as their first dimension, the others fixed.
            options: AUTO and CPU are the same device here.

        Raises:
            BackendError: OpenVINO is not installed or refuses the graph, the device is none of
                its own, or the CPU lacks the precision.
        """
        if options.device is Device.CUDA:
            raise BackendError(
                'device is cuda, which OpenVINO does not run on; allowed: auto, cpu'
            )
        openvino = _import_openvino()
        self._version = openvino.__version__.split('-', 1)[0]
        core = openvino.Core()
        settings = _settings(core, openvino, options)
        try:
            model = _read(openvino, onnx_path)
            if _is_quantised(model) and not sums_bytes_exactly():
                settings['LP_TRANSFORMS_MODE'] = False
                self.caveat = (
                    'OpenVINO computes int8 in fp32, since this CPU (without VNNI) would cut '
                    'sums off'
                )
            self._inputs = tuple(_tensor(port, onnx_path) for port in model.inputs)
            self._outputs = tuple(_tensor(port, onnx_path) for port in model.outputs)
            self._input_names = {tensor.name for tensor in self._inputs}
            if not self._inputs or not self._outputs:
                raise BackendError(f'OpenVINO finds no inputs or no outputs in {onnx_path}')
            model.reshape({i: (1, *tensor.rest) for i, tensor in enumerate(self._inputs)})
            _shield_concatenations(openvino, model)
            for port, tensor in zip(model.outputs, self._outputs):
                if tuple(port.partial_shape.to_shape()) != (1, *tensor.rest):
                    raise BackendError(
                        f'{tensor.name} of {onnx_path} is {port.partial_shape} for one frame; '
                        f'allowed: {("N", *tensor.rest)}'
                    )
            self._compiled = core.compile_model(model, _DEVICE, settings)
            self._request = self._compiled.create_infer_request()
            # Of fixed shapes: they stay where they are. Asked for anew they cost 0.1 ms a frame.
            self._input_arrays = [tensor.data for tensor in self._request.input_tensors]
            self._output_arrays = [tensor.data for tensor in self._request.output_tensors]
        except BackendError:
            raise
        except Exception as error:  # its exceptions share no base class of their own
            raise BackendError(f'OpenVINO refuses {onnx_path}: {_reason(error)}') from error
        self._precision = _running_precision(self._compiled)
        self._threads = int(self._compiled.get_property('INFERENCE_NUM_THREADS'))

    @property
    def description(self) -> str:
        """Version, device, the arithmetic of its convolutions and products, threads."""
        return (
            f'OpenVINO {self._version}, {_DEVICE}, {self._precision}, {self._threads} threads'
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(tensor.name for tensor in self._inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(tensor.name for tensor in self._outputs)

    @property
    def max_batch(self) -> int:
        """See Backend."""
        return 1

    def compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ImmediateBackend."""
        frames = self._checked(inputs)
        answers = {
            tensor.name: np.empty((frames, *tensor.rest), tensor.dtype) for tensor in self._outputs
        }
        try:
            # Copied in and out, a hundredth of the time of the smallest network: OpenVINO takes
            # no arrays that are read-only, and keeps those it takes.
            for frame in range(frames):
                for tensor, array in zip(self._inputs, self._input_arrays):
                    array[0] = inputs[tensor.name][frame]
                self._request.infer(share_outputs=True)  # else it copies them too
                for tensor, array in zip(self._outputs, self._output_arrays):
                    answers[tensor.name][frame] = array[0]
        except Exception as error:  # as above
            raise BackendError(f'OpenVINO failed: {_reason(error)}') from error
        return answers

    def warm_up(self) -> None:
        """See Backend."""
        self.run({t.name: np.ones((1, *t.rest), t.dtype) for t in self._inputs})

    def close(self) -> None:
        """See Backend."""
        del self._input_arrays, self._output_arrays, self._request, self._compiled

    def _checked(self, inputs: Mapping[str, np.ndarray]) -> int:
        """How many frames there are; OpenVINO itself converts and reshapes what does not fit."""
        if inputs.keys() != self._input_names:
            raise BackendError(
                f'inputs are {sorted(inputs)}, the graph has {sorted(self.input_names)}'
            )
        first = inputs[self._inputs[0].name]
        frames = first.shape[0] if first.ndim else 0
        for name, dtype, rest in self._inputs:
            given = inputs[name]
            if given.dtype != dtype or given.shape != (frames, *rest) or not frames:
                raise BackendError(
                    f'{name} is {given.dtype} {given.shape}, the graph takes {dtype} '
                    f'{("N", *rest)} with one N of 1 or more'
                )
        return frames


def _import_openvino() -> Any:
    """OpenVINO without its telemetry.

    That tells Google Analytics of each import and writes into ~/intel; OpenVINO takes it for an
    extra and does without where it cannot be imported.
    """
    blocked = _TELEMETRY not in sys.modules
    if blocked:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
        import openvino.frontend
    except ImportError as error:
        raise BackendError(f'OpenVINO does not load ({error}); `pip install openvino`') from error
    finally:
        if blocked:
            del sys.modules[_TELEMETRY]
    return openvino


def _settings(core: Any, openvino: Any, options: BackendOptions) -> dict[str, Any]:
    """How the CPU is to compute."""
    precision = openvino.Type.f32
    if options.cpu_precision is CpuPrecision.BF16:
        able = core.get_property(_DEVICE, 'OPTIMIZATION_CAPABILITIES')
        if _BF16 not in able:
            raise BackendError(
                f'cpu_precision is bf16, which this CPU does not compute in (it has '
                f'{", ".join(sorted(able))}); allowed: file'
            )
        precision = openvino.Type.bf16
    return {
        # Of what the file leaves in float; by default OpenVINO rounds to bf16 where it can. An
        # int8 graph says itself what is int8.
        'INFERENCE_PRECISION_HINT': precision,
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': 1,
        'INFERENCE_NUM_THREADS': options.threads or physical_cores(),
        # Bound to their cores, threads would wait there while the rest of the robot uses these
        # and others are idle; depth and pose networks would be bound to the same ones.
        'ENABLE_CPU_PINNING': False,
        'ENABLE_CPU_RESERVATION': False,
    }


def _read(openvino: Any, path: Path) -> Any:
    # Core.read_model asks the readers of all formats, which print what they think of it.
    reader = openvino.frontend.FrontEndManager().load_by_framework('onnx')
    return reader.convert(reader.load(str(path)))


def _is_quantised(model: Any) -> bool:
    return any(node.get_type_name() == 'FakeQuantize' for node in model.get_ops())


def _shield_concatenations(openvino: Any, model: Any) -> None:
    """Put a pooling over single pixels, which changes nothing, behind concatenated pictures.

    OpenVINO 2026.4 moves a quantisation from behind a concatenation to before it, and forgets the
    scale where a convolution follows: everything is rounded to whole numbers. In int8 that made
    the motions of lite0 wrong by an eighth. It moves nothing past a pooling.
    """
    for convolution in model.get_ordered_ops():
        if convolution.get_type_name() not in ('Convolution', 'GroupConvolution'):
            continue
        ways = [(convolution.input(0), False)]
        while ways:
            reader, quantised = ways.pop()
            node = reader.get_source_output().get_node()
            kind = node.get_type_name()
            if kind in _POINTWISE:
                ways += [(way, quantised or kind == 'FakeQuantize') for way in node.inputs()]
            elif kind == 'Concat' and quantised:
                pooling = openvino.opset1.max_pool(node.output(0), [1, 1], [0, 0], [0, 0], [1, 1])
                reader.replace_source_output(pooling.output(0))


def _tensor(port: Any, path: Path) -> _Tensor:
    # A port has the names of all tensors that are the same; its node is called after the graph's.
    name = port.get_node().get_friendly_name().split('/sink_port_', 1)[0]
    if name not in port.get_names():
        name = port.get_any_name()
    shape = port.partial_shape
    sizes = list(shape) if shape.rank.is_static else []
    if not sizes or any(size.is_dynamic for size in sizes[1:]):
        raise BackendError(f'{name} of {path} is {shape}; allowed: [N, ...], all but N fixed')
    rest = tuple(size.get_length() for size in sizes[1:])
    return _Tensor(name, np.dtype(port.element_type.to_dtype()), rest)


def _running_precision(compiled: Any) -> str:
    """What convolutions and products compute in, the most frequent first; else all layers."""
    heavy: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for layer in compiled.get_runtime_model().get_ops():
        about = layer.get_rt_info()
        if 'runtimePrecision' not in about or layer.get_type_name() in ('Parameter', 'Result'):
            continue
        precision = _value(about['runtimePrecision'])
        precision = _PRECISIONS.get(precision, precision)
        every[precision] += 1
        if _value(about['layerType']) in _HEAVY_LAYERS:
            heavy[precision] += 1
    return ' and '.join(name for name, _ in (heavy or every).most_common())


def _value(entry: Any) -> str:
    return str(entry.astype(str) if hasattr(entry, 'astype') else entry)


def _reason(error: Any) -> str:
    """The last line: the ones before say where in OpenVINO's source it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
