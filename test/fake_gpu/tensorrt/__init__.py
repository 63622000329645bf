"""TensorRT whose engines hold their ONNX graph.

FAKE_TRT_VERSION (11.0.0): from 11 on there is no half-precision flag. FAKE_BUILD_S (0): seconds
that a build takes. FAKE_FACTOR (1): what every output of an engine is multiplied by, an engine
that computes wrongly. FAKE_IDLE: set where engines compute nothing, to measure what is around.
FAKE_BUILDS: file that gets a line for every build.
"""

import enum
import json
import os
import time

import numpy as np
import onnx
from cuda.bindings import runtime as cuda

MAGIC = b'FAKEENGINE\n'


def __getattr__(name):
    if name == '__version__':
        return os.environ.get('FAKE_TRT_VERSION', '11.0.0')
    if name == 'BuilderFlag':
        return _BuilderFlag10 if _major() < 11 else _BuilderFlag
    raise AttributeError(name)


def _major():
    return int(__getattr__('__version__').split('.')[0])


class _BuilderFlag10(enum.IntEnum):
    FP16 = 0
    TF32 = 7


class _BuilderFlag(enum.IntEnum):
    TF32 = 7


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.IntEnum):
    FLOAT = 0
    UINT8 = 5


def nptype(kind):
    return {DataType.FLOAT: np.float32, DataType.UINT8: np.uint8}[kind]


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def log(self, severity, message):
        raise NotImplementedError


class IProgressMonitor:
    pass


class _Tensor:
    def __init__(self, value):
        self.name = value.name
        kind = value.type.tensor_type
        self.shape = tuple(d.dim_value or -1 for d in kind.shape.dim)
        self.dtype = {1: DataType.FLOAT, 2: DataType.UINT8}[kind.elem_type]


class _Network:
    def __init__(self, flags):
        self.flags = flags
        self.model = None

    @property
    def num_inputs(self):
        return len(self.model.graph.input)

    def get_input(self, index):
        return _Tensor(self.model.graph.input[index])


class _Error:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text


class OnnxParser:
    def __init__(self, network, logger):
        self._network = network
        self._errors = []

    def parse_from_file(self, path):
        try:
            self._network.model = onnx.load(path)
            onnx.checker.check_model(self._network.model)
        except Exception as error:  # whatever protobuf and the checker raise
            self._errors.append(_Error(f'Failed to parse: {error}'))
        return not self._errors

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class _Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, least, best, most):
        self.shapes[name] = (least, best, most)


class _TimingCache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return self.data + b'timed;'


class IBuilderConfig:
    def __init__(self):
        self.flags, self.profiles, self.limits = {'TF32'}, [], {}
        self.progress_monitor = None
        self.builder_optimization_level = 3
        self.cache = None

    def set_memory_pool_limit(self, pool, size):
        self.limits[pool] = size

    def set_flag(self, flag):
        self.flags.add(flag.name)

    def clear_flag(self, flag):
        self.flags.discard(flag.name)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)

    def create_timing_cache(self, data):
        return _TimingCache(data)

    def set_timing_cache(self, cache, ignore_mismatch):
        self.cache = cache
        return True


class Builder:
    def __init__(self, logger):
        self._logger = logger

    def create_network(self, flags=0):
        return _Network(flags)

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        if 'FAKE_BUILDS' in os.environ:
            with open(os.environ['FAKE_BUILDS'], 'a') as file:
                file.write(f'{os.getpid()}\n')
        monitor, seconds = config.progress_monitor, float(os.environ.get('FAKE_BUILD_S', '0'))
        steps = 20
        monitor.phase_start('build', None, 2)
        for phase in ('timing', 'packing'):
            monitor.phase_start(phase, 'build', steps)
            for step in range(steps):
                time.sleep(seconds / steps / 2)
                if not monitor.step_complete(phase, step):
                    return None
            monitor.phase_finish(phase)
            monitor.step_complete('build', 0)
        monitor.phase_finish('build')
        if not network.model.graph.node:
            self._logger.log(ILogger.ERROR, 'the network has no layers')
            return None
        header = {
            'version': __getattr__('__version__'),
            'most': {name: shapes[2] for name, shapes in config.profiles[0].shapes.items()},
            'fp16': 'FP16' in config.flags,
            'strongly typed': network.flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED,
            'flags': sorted(config.flags),
            'workspace': config.limits[MemoryPoolType.WORKSPACE],
            'level': config.builder_optimization_level,
            'timing cache': config.cache is not None,
        }
        return MAGIC + json.dumps(header).encode() + b'\n' + network.model.SerializeToString()


class Runtime:
    def __init__(self, logger):
        self._logger = logger

    def deserialize_cuda_engine(self, data):
        if not data.startswith(MAGIC):
            self._logger.log(ILogger.ERROR, 'Serialization assertion failed')
            return None
        line, _, graph = data[len(MAGIC):].partition(b'\n')
        header = json.loads(line)
        if header['version'] != __getattr__('__version__'):
            self._logger.log(ILogger.ERROR, 'the engine plan file is of another version')
            return None
        return ICudaEngine(header, graph)


class ICudaEngine:
    def __init__(self, header, graph):
        self.header, self.graph = header, graph
        model = onnx.load_from_string(graph)
        self.tensors = [(_Tensor(value), TensorIOMode.INPUT) for value in model.graph.input]
        self.tensors += [(_Tensor(value), TensorIOMode.OUTPUT) for value in model.graph.output]
        self._by_name = {tensor.name: (tensor, mode) for tensor, mode in self.tensors}

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return self.tensors[index][0].name

    def get_tensor_mode(self, name):
        return self._by_name[name][1]

    def get_tensor_shape(self, name):
        return self._by_name[name][0].shape

    def get_tensor_dtype(self, name):
        return self._by_name[name][0].dtype

    def get_tensor_profile_shape(self, name, profile):
        most = self.header['most'][name]
        return [(1, *most[1:]), most, most]

    def create_runtime_config(self):
        return _RuntimeConfig()

    def create_execution_context(self, config=None):
        return IExecutionContext(self, config)


class DynamicShapesKernelSpecializationStrategy(enum.IntEnum):
    LAZY = 0
    EAGER = 1


class _RuntimeConfig:
    cache = None
    dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def create_runtime_cache(self):
        return _KernelCache()

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class _KernelCache:
    """Kernels are compiled by the first run of a context."""

    data = b''

    def deserialize(self, data):
        self.data = data
        return True

    def serialize(self):
        return self.data


class IExecutionContext:
    def __init__(self, engine, config):
        import onnxruntime

        self._engine = engine
        eager = DynamicShapesKernelSpecializationStrategy.EAGER
        assert config.dynamic_shapes_kernel_specialization_strategy is eager
        self._kernels = config.cache
        self._session = onnxruntime.InferenceSession(engine.graph)
        self._shapes, self._addresses = {}, {}

    def is_stream_capturable(self, stream):
        return bool(self._shapes)

    def set_input_shape(self, name, shape):
        assert not cuda.recordings, 'the shape is set while a graph is recorded'
        if shape[0] > self._engine.header['most'][name][0]:
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        if set(self._shapes) != set(self._engine.header['most']):
            return False
        if self._kernels is not None:
            self._kernels.data = self._kernels.data or f'compiled by {os.getpid()}'.encode()
        if 'FAKE_IDLE' not in os.environ:
            shapes = dict(self._shapes)
            cuda.enqueue(stream, lambda: self._compute(shapes))
        return True

    def _compute(self, shapes):
        inputs = {
            tensor.name: self._on_device(tensor.name, shapes[tensor.name], nptype(tensor.dtype))
            for tensor, mode in self._engine.tensors if mode is TensorIOMode.INPUT
        }  # fmt: skip
        names = [t.name for t, mode in self._engine.tensors if mode is TensorIOMode.OUTPUT]
        factor = np.float32(os.environ.get('FAKE_FACTOR', '1'))
        for name, answer in zip(names, self._session.run(names, inputs)):
            if self._engine.header['fp16']:
                answer = answer.astype(np.float16).astype(np.float32)
            self._on_device(name, answer.shape, answer.dtype)[...] = answer * factor

    def _on_device(self, name, shape, dtype):
        buffer = cuda.memory[self._addresses[name]]
        count = int(np.prod(shape))
        return np.frombuffer(buffer, dtype, count).reshape(shape)
