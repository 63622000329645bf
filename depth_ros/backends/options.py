"""What to run a graph on, and how."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from depth_ros.errors import BackendError


class BackendKind(enum.Enum):
    """Which runtime computes."""

    AUTO = 'auto'
    """The best one that is installed and takes the model; what could not be used is told."""
    ONNXRUNTIME = 'onnxruntime'
    OPENVINO = 'openvino'
    TENSORRT = 'tensorrt'
    """TensorRT 10 or 11, or TensorRT-RTX."""


class Device(enum.Enum):
    """What it computes on."""

    AUTO = 'auto'
    """A GPU where there is one, the runtime supports it and it starts, else the CPU."""
    CPU = 'cpu'
    CUDA = 'cuda'
    """An NVIDIA GPU or nothing: without one, opening the backend fails."""

    @property
    def tries_gpu(self) -> bool:
        """Whether a GPU is to be tried: it is asked for, or there and nothing else asked for."""
        from depth_ros.backends.engines import gpu

        return self is Device.CUDA or (self is Device.AUTO and gpu.is_present())


class CpuPrecision(enum.Enum):
    """Arithmetic of OpenVINO on a CPU."""

    FILE = 'file'
    """That of the model's graph."""
    BF16 = 'bf16'
    """bfloat16 where the CPU has it: three digits, about twice as fast as fp32."""


@dataclass(frozen=True)
class EngineOptions:
    """How TensorRT builds an engine; all of it is part of the engine's key in the cache."""

    workspace_mib: int = 1024
    """Most scratch memory on the GPU that a layer may use [MiB]."""
    optimization_level: int = 3
    """0 builds fastest, 5 tries most kernels."""
    max_batch: int = 1
    """Most frames of one run; more are run one part after the other."""
    fp16: bool = False
    """Half precision of a single-precision file, by TensorRT 10's builder flag; later versions
    and TensorRT-RTX have none and want a file exported in fp16."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            BackendError: naming the value and what is allowed.
        """
        for name, lowest, highest in (
            ('workspace_mib', 16, 1 << 20), ('optimization_level', 0, 5), ('max_batch', 1, 256)
        ):  # fmt: skip
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise BackendError(f'{name} is {value}, allowed: {lowest} to {highest}')


@dataclass(frozen=True)
class BackendOptions:
    """How a model is to be run."""

    kind: BackendKind = BackendKind.AUTO
    device: Device = Device.AUTO
    threads: int = 0
    """CPU threads of one inference; 0: one for each physical core this process may use, as
    far as the quota of its container goes."""
    cpu_precision: CpuPrecision = CpuPrecision.FILE
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            BackendError: threads below 0 or above 256.
        """
        if not 0 <= self.threads <= 256:
            raise BackendError(f'threads is {self.threads}, allowed: 0 (automatic) to 256')
