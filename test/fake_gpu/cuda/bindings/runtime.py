"""CUDA's runtime with one GPU that is none.

FAKE_GPUS (1): how many there are. FAKE_GPU_NAME: of it. FAKE_GPU_CC (8.9): compute capability.
FAKE_NO_CAPTURE: set where recording fails. FAKE_ERROR: number of an error that
cudaGetDeviceCount answers. FAKE_BROKEN: set where calls fail as after a
fault of the GPU. FAKE_FULL: set where it has no memory left.
"""

import ctypes
import enum
import os
from types import SimpleNamespace

cudaDeviceScheduleBlockingSync = 4
cudaHostAllocDefault = 0
cudaStreamNonBlocking = 1


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureUnsupported = 900


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


OK = cudaError_t.cudaSuccess
memory: dict[int, ctypes.Array] = {}
"""What is allocated, on the host and on the device."""
streams: dict[int, list] = {}
"""Work that waits, by stream."""
recordings: dict[int, list] = {}
graphs: dict[int, list] = {}
launches: list[int] = []
_handles = iter(range(1, 1 << 30))


def cudaGetDeviceCount():
    if 'FAKE_ERROR' in os.environ:
        return cudaError_t(int(os.environ['FAKE_ERROR'])), None
    count = int(os.environ.get('FAKE_GPUS', '1'))
    return (OK, count) if count else (cudaError_t.cudaErrorNoDevice, None)


def cudaGetDeviceProperties(device):
    major, minor = os.environ.get('FAKE_GPU_CC', '8.9').split('.')
    name = os.environ.get('FAKE_GPU_NAME', 'Fake GPU').encode()
    return OK, SimpleNamespace(name=name, major=int(major), minor=int(minor))


def cudaSetDeviceFlags(flags):
    return (OK,)


def cudaGetErrorString(error):
    return OK, error.name.encode()


def _broken():
    return 'FAKE_BROKEN' in os.environ


def _allocate(size):
    if 'FAKE_FULL' in os.environ:
        return cudaError_t.cudaErrorMemoryAllocation, None
    buffer = (ctypes.c_uint8 * size)()
    memory[ctypes.addressof(buffer)] = buffer
    return OK, ctypes.addressof(buffer)


def cudaMalloc(size):
    return _allocate(size)


def cudaHostAlloc(size, flags):
    return _allocate(size)


def cudaFree(address):
    if _broken():
        return (cudaError_t.cudaErrorLaunchFailure,)
    return (OK,) if memory.pop(address, None) is not None else (cudaError_t.cudaErrorInvalidValue,)


cudaFreeHost = cudaFree


def cudaStreamCreateWithFlags(flags):
    handle = next(_handles)
    streams[handle] = []
    return OK, handle


def cudaStreamDestroy(stream):
    if _broken():
        return (cudaError_t.cudaErrorLaunchFailure,)
    del streams[stream]
    return (OK,)


def enqueue(stream, work):
    """Do it when the stream is waited for, or record it."""
    (recordings.get(stream, streams[stream])).append(work)


def cudaMemcpyAsync(target, source, size, kind, stream):
    enqueue(stream, lambda: ctypes.memmove(target, source, size))
    return (OK,)


def cudaStreamSynchronize(stream):
    assert not recordings, 'a stream is waited for while it is recorded'
    if _broken():
        return (cudaError_t.cudaErrorLaunchFailure,)
    work, streams[stream] = streams[stream], []
    for one in work:
        one()
    return (OK,)


def cudaStreamBeginCapture(stream, mode):
    recordings[stream] = []
    return (OK,)


def cudaStreamEndCapture(stream):
    recording = recordings.pop(stream)
    if 'FAKE_NO_CAPTURE' in os.environ:
        return cudaError_t.cudaErrorStreamCaptureUnsupported, None
    return OK, recording


def cudaGraphInstantiate(recording, flags):
    handle = next(_handles)
    graphs[handle] = list(recording)
    return OK, handle


def cudaGraphDestroy(recording):
    return (OK,)


def cudaGraphLaunch(graph, stream):
    launches.append(graph)
    for work in graphs[graph]:
        enqueue(stream, work)
    return (OK,)


def cudaGraphExecDestroy(graph):
    if _broken():
        return (cudaError_t.cudaErrorLaunchFailure,)
    del graphs[graph]
    return (OK,)
