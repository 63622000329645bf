"""What the TensorRT backend adds around the engine's own call: time and memory of a frame.

    python -m benchmarks.engine_overhead

Needs no GPU: below the backend is test/fake_gpu, whose engine computes nothing and whose copies
are those of the host. So the copies of the picture into pinned memory and on to the "device", and
of depth back, are in the figures; the transfer over a bus is not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[1]
FAKE = ROOT / 'test' / 'fake_gpu'
LIMIT_MS = 0.2


def main() -> int:
    """Measure, print, and fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=192)
    parser.add_argument('--runs', type=int, default=2000)
    parser.add_argument('--out', type=Path, help='JSON to write')
    args = parser.parse_args()
    sys.path.insert(0, str(FAKE))
    os.environ['FAKE_IDLE'] = '1'
    figures = measure(args.width, args.height, args.runs)
    print(f'{args.width}x{args.height}, {args.runs} runs around an engine that computes nothing:')
    for name, value in figures.items():
        print(f'  {name:34} {value:10.4f}')
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2))
    return 0 if figures['run, median [ms]'] < LIMIT_MS else 1


def measure(width: int, height: int, runs: int) -> dict[str, float]:
    """Milliseconds of a run and of its parts, and bytes that a run allocates."""
    from depth_ros.backends import UNWATCHED, EngineOptions
    from depth_ros.backends.engines.building import build_engine
    from depth_ros.backends.engines.opening import Machine

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'depth.onnx'
        onnx.save(_graph(width, height), path)
        machine = Machine.find()
        built = build_engine(machine.library, path, EngineOptions(), UNWATCHED)
    backend = machine.load(built.engine)
    image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    inputs = {'image': image}
    backend.warm_up()
    submit, whole = [], []
    for _ in range(runs):
        started = time.perf_counter()
        backend.submit(inputs)
        between = time.perf_counter()
        backend.wait()
        ended = time.perf_counter()
        submit.append(1e3 * (between - started))
        whole.append(1e3 * (ended - started))
    copied, target = [], np.empty_like(image)
    for _ in range(runs):
        started = time.perf_counter()
        np.copyto(target, image)
        copied.append(1e3 * (time.perf_counter() - started))
    tracemalloc.start()
    backend.run(inputs)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(100):
        backend.run(inputs)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    backend.close()
    return {
        'run, median [ms]': float(np.median(whole)),
        'run, 99th percentile [ms]': float(np.percentile(whole, 99)),
        'of it submit, median [ms]': float(np.median(submit)),
        'one copy of the picture [ms]': float(np.median(copied)),
        'kept after 100 runs [bytes]': float(after - before),
        'peak within a run [bytes]': float(peak - before),
        'the picture [bytes]': float(image.nbytes),
    }


def _graph(width: int, height: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node('Cast', ['image'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['float', 'channels'], ['depth'], keepdims=0),
    ]
    channels = onnx.numpy_helper.from_array(np.array([3], np.int64), 'channels')
    shape = ['N', height, width]
    graph = helper.make_graph(
        nodes,
        'grey',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, [*shape, 3])],
        [helper.make_tensor_value_info('depth', TensorProto.FLOAT, shape)],
        [channels],
    )
    opset = helper.make_opsetid('', 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


if __name__ == '__main__':
    sys.exit(main())
