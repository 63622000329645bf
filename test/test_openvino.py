"""OpenVINO behind the backend protocol, beside ONNX Runtime and known answers."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from depth_ros.backends import BackendKind, BackendOptions, CpuPrecision, Device, open_backend
from depth_ros.backends.backend import Backend
from depth_ros.backends.eight_bits import sums_bytes_exactly
from depth_ros.backends.parity import depth_case, motion_case
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model

pytest.importorskip('openvino', reason='openvino is not installed')

from depth_ros.backends.ov import OpenVinoBackend, _import_openvino

ROOT = Path(__file__).resolve().parent.parent
HEIGHT, WIDTH = 6, 8
EXACT_WEIGHT = 1 + 2.0**-14
BF16_STEP = 2.0**-8
"""Relative rounding of bf16, which knows no EXACT_WEIGHT; of fp32 it is 2^-24."""


def opened(path: Path, precision: CpuPrecision = CpuPrecision.FILE, threads: int = 1) -> Backend:
    options = BackendOptions(
        BackendKind.OPENVINO, Device.CPU, threads=threads, cpu_precision=precision
    )
    return open_backend(path, options)


def reference(path: Path) -> Backend:
    return open_backend(path, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads=1))


def has_bf16() -> bool:
    core = _import_openvino().Core()
    return 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')


needs_bf16 = pytest.mark.skipif(not has_bf16(), reason='this CPU does not compute in bf16')


@pytest.fixture
def depth_path(tmp_path: Path) -> Path:
    onnx.save(graphs.depth_graph(graphs.spec()), tmp_path / 'depth.onnx')
    return tmp_path / 'depth.onnx'


@pytest.fixture
def pose_path(tmp_path: Path) -> Path:
    onnx.save(graphs.pose_graph(graphs.spec()), tmp_path / 'pose.onnx')
    return tmp_path / 'pose.onnx'


@pytest.fixture(scope='module')
def lite0() -> Model:
    return Model.load(Path(DEFAULT_MODEL))


def images(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, graphs.HEIGHT, graphs.WIDTH, 3)
    return np.random.default_rng(seed).integers(30, 255, shape, np.uint8)


def save(path: Path, nodes, constants, inputs=None, outputs=None) -> Path:
    """A graph of float outputs y [N,1,6,8], by default of bytes x [N,3,6,8]."""
    value = helper.make_tensor_value_info
    inputs = inputs or [value('x', TensorProto.UINT8, ['N', 3, HEIGHT, WIDTH])]
    outputs = outputs or [value('y', TensorProto.FLOAT, ['N', 1, HEIGHT, WIDTH])]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, 'g', inputs, outputs, tensors)
    opset = helper.make_opsetid('', 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def planes(count: int = 1) -> np.ndarray:
    shape = (count, 3, HEIGHT, WIDTH)
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def exact_graph(path: Path) -> Path:
    """A convolution whose weights and answers need up to 24 digits, all that a float has."""
    nodes = [
        helper.make_node('Cast', ['x'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('Conv', ['float', 'w'], ['y']),
    ]
    return save(path, nodes, {'w': np.full((1, 3, 1, 1), EXACT_WEIGHT, np.float32)})


def exact_answer(x: np.ndarray) -> np.ndarray:
    """What `exact_graph` answers: float64 [N,1,6,8]."""
    return EXACT_WEIGHT * x.sum(axis=1, keepdims=True, dtype=np.float64)


def int8_graph(path: Path) -> tuple[Path, np.ndarray]:
    """A quantised 3x3 convolution of 32 answers, and its weights in 8 bits; y [N,32,6,8]."""
    weights = np.random.default_rng(4).integers(-127, 128, (32, 3, 3, 3), np.int8)
    node = helper.make_node
    nodes = [
        node('Cast', ['x'], ['float'], to=TensorProto.FLOAT),
        node('Mul', ['float', 'half'], ['halved']),
        node('QuantizeLinear', ['halved', 'one', 'zero'], ['q']),
        node('DequantizeLinear', ['q', 'one', 'zero'], ['dq']),
        node('DequantizeLinear', ['w', 'w_scale', 'w_zero'], ['dw'], axis=0),
        node('Conv', ['dq', 'dw'], ['c'], pads=[1, 1, 1, 1]),
        node('Mul', ['c', 'twice'], ['y']),
    ]
    constants = {
        'half': np.float32(0.5), 'twice': np.float32(2), 'one': np.float32(1),
        'zero': np.int8(0), 'w': weights, 'w_scale': np.full(32, 0.25, np.float32),
        'w_zero': np.zeros(32, np.int8),
    }  # fmt: skip
    outputs = [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['N', 32, HEIGHT, WIDTH])]
    return save(path, nodes, constants, outputs=outputs), weights


def integer_convolution(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What `int8_graph` answers, in integers: float64 [N,32,6,8]."""
    # Halves go to the even number, in ONNX as in NumPy.
    eight = np.clip(np.round(x.astype(np.float64) / 2), -128, 127)
    padded = np.pad(eight, ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(x), len(weights), HEIGHT, WIDTH))
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row : row + HEIGHT, column : column + WIDTH]
            total += np.einsum('nihw,oi->nohw', window, weights[:, :, row, column])
    return 2 * 0.25 * total


@pytest.mark.parametrize('count', [1, 3])
def test_runs_any_batch(depth_path: Path, count: int) -> None:
    batch = images(count)
    with closing(opened(depth_path)) as backend, closing(reference(depth_path)) as other:
        assert backend.input_names == other.input_names == ('image',)
        depth = backend.run({'image': batch})['depth']
        np.testing.assert_allclose(depth, 0.02 * batch.mean(axis=3), rtol=1e-5)
        np.testing.assert_allclose(depth, other.run({'image': batch})['depth'], rtol=1e-5)
    assert depth.dtype == np.float32


def test_batches_of_other_sizes_follow_each_other(depth_path: Path) -> None:
    backend = opened(depth_path)
    for count in (2, 1, 4, 1):
        batch = images(count, seed=count)
        depth = backend.run({'image': batch})['depth']
        np.testing.assert_allclose(depth, 0.02 * batch.mean(axis=3), rtol=1e-5)


def test_two_inputs_and_motions(pose_path: Path) -> None:
    backend = opened(pose_path)
    assert backend.input_names == ('previous', 'current')
    motion = backend.run({'current': images(3), 'previous': images(3, seed=1)})['motion']
    np.testing.assert_array_equal(motion, np.tile(np.float32(graphs.FORWARD), (3, 1)))


def test_outputs_outlive_the_next_run_and_inputs_are_free(depth_path: Path) -> None:
    backend = opened(depth_path)
    batch = images(2)
    backend.submit({'image': batch})
    batch[:] = 0
    first = backend.wait()['depth']
    kept = first.copy()
    np.testing.assert_allclose(kept, 0.02 * images(2).mean(axis=3), rtol=1e-5)
    backend.run({'image': images(2, seed=1)})
    backend.run({'image': images(2, seed=2)})
    np.testing.assert_array_equal(first, kept)
    with pytest.raises(BackendError, match='nothing was submitted'):
        backend.wait()


def test_inputs_may_be_read_only_or_views(depth_path: Path) -> None:
    wide = np.zeros((2, graphs.HEIGHT, 2 * graphs.WIDTH, 3), np.uint8)
    wide[:, :, ::2] = images(2)
    wide.flags.writeable = False
    depth = opened(depth_path).run({'image': wide[:, :, ::2]})['depth']
    np.testing.assert_allclose(depth, 0.02 * images(2).mean(axis=3), rtol=1e-5)


def test_outputs_have_the_names_of_the_graph(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    nodes = [helper.make_node('Neg', ['x'], ['inner']),
             helper.make_node('Identity', ['inner'], ['late']),
             helper.make_node('Identity', ['inner'], ['early'])]  # fmt: skip
    names = ['late', 'early', 'inner']
    path = save(
        tmp_path / 'g.onnx', nodes, {}, [value('x', TensorProto.FLOAT, ['N', 4])],
        [value(name, TensorProto.FLOAT, ['N', 4]) for name in names],
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    answers = opened(path).run({'x': x})
    assert list(answers) == names
    for answer in answers.values():
        np.testing.assert_array_equal(answer, -x)


def test_the_bundled_model_answers_as_with_onnx_runtime_and_torch(lite0: Model) -> None:
    assert lite0.pose_path is not None
    for path, case in ((lite0.depth_path, depth_case(lite0)),
                       (lite0.pose_path, motion_case(lite0))):  # fmt: skip
        with closing(opened(path)) as backend, closing(reference(path)) as other:
            answers, expected = case.answers(backend), case.answers(other)
            np.testing.assert_allclose(answers, expected, rtol=2e-4, atol=1e-6)
            assert case.expected is not None
            assert case.difference(answers, case.expected) <= case.tolerance
            assert ', CPU, fp32, 1 threads' in backend.description


def test_single_precision_keeps_all_24_digits(tmp_path: Path) -> None:
    """By default OpenVINO rounds to bf16 where the CPU has it, which keeps 8 of them."""
    x = planes(2)
    backend = opened(exact_graph(tmp_path / 'exact.onnx'))
    np.testing.assert_array_equal(backend.run({'x': x})['y'], exact_answer(x))
    assert ', fp32, ' in backend.description


@needs_bf16
def test_bf16_is_an_option_and_what_openvino_would_do_by_itself(
    tmp_path: Path, lite0: Model
) -> None:
    x = planes(2)
    path = exact_graph(tmp_path / 'exact.onnx')
    expected = exact_answer(x)
    openvino = _import_openvino()
    rough = openvino.Core().compile_model(str(path), 'CPU')({'x': x})['y']
    assert not np.array_equal(rough, expected)  # so the test above sees bf16 where it leaks in
    with closing(opened(path, CpuPrecision.BF16)) as backend:
        answer = backend.run({'x': x})['y']
        assert ', bf16, ' in backend.description
    assert not np.array_equal(answer, expected)
    np.testing.assert_allclose(answer, expected, rtol=2 * BF16_STEP, atol=1)
    case = depth_case(lite0)
    runs = {}
    for precision in CpuPrecision:
        with closing(opened(lite0.depth_path, precision)) as backend:
            runs[precision] = case.answers(backend)
    with closing(reference(lite0.depth_path)) as other:
        truth = case.answers(other)
    of_file, of_bf16 = (
        float(np.mean(np.abs(runs[p] / truth - 1))) for p in (CpuPrecision.FILE, CpuPrecision.BF16)
    )
    assert of_file < 1e-5
    assert 10 * of_file < 1e-4 < of_bf16 < 0.03


def test_bf16_without_the_cpu_for_it_is_refused(depth_path: Path) -> None:
    if has_bf16():
        pytest.skip('this CPU computes in bf16')
    with pytest.raises(BackendError, match=r'cpu_precision is bf16.*allowed: file'):
        opened(depth_path, CpuPrecision.BF16)


@pytest.mark.parametrize('precision', list(CpuPrecision))
def test_eight_bits_stay_eight_bits(tmp_path: Path, precision: CpuPrecision) -> None:
    if precision is CpuPrecision.BF16 and not has_bf16():
        pytest.skip('this CPU does not compute in bf16')
    path, weights = int8_graph(tmp_path / 'int8.onnx')
    x = planes(3)
    backend = opened(path, precision)
    answer = backend.run({'x': x})['y']
    assert_in_eight_bits(backend)
    if precision is CpuPrecision.FILE:
        np.testing.assert_array_equal(answer, integer_convolution(x, weights))
        np.testing.assert_allclose(answer, reference(path).run({'x': x})['y'], rtol=1e-6)


def assert_in_eight_bits(backend: Backend) -> None:
    """It is told where the CPU cannot."""
    exact = sums_bytes_exactly()
    assert (', int8, ' in backend.description) == exact
    assert ('without VNNI' in backend.caveat) == (not exact)


def test_a_cpu_that_would_cut_sums_off_computes_eight_bits_in_single_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('depth_ros.backends.ov.sums_bytes_exactly', lambda: False)
    path, weights = int8_graph(tmp_path / 'int8.onnx')
    with closing(opened(path)) as backend:
        answer = backend.run({'x': planes(2)})['y']
        assert ', fp32, ' in backend.description
        assert 'int8 in fp32, since this CPU (without VNNI)' in backend.caveat
    np.testing.assert_array_equal(answer, integer_convolution(planes(2), weights))


def test_a_float_graph_is_no_matter_of_eight_bits(
    depth_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('depth_ros.backends.ov.sums_bytes_exactly', lambda: False)
    with closing(opened(depth_path)) as backend:
        assert backend.caveat == ''


def joined_graph(path: Path, pointwise: bool) -> Path:
    """Two quantised convolutions side by side, joined, quantised and convolved again.

    pointwise: what is joined is multiplied with numbers before it is quantised.
    """
    rng, node = np.random.default_rng(6), helper.make_node
    zero = {'zero': np.int8(0), 'byte': np.float32(1 / 255), 'w_zero': np.zeros(16, np.int8)}
    constants = {
        **zero, 'in_s': np.float32(1 / 127), 'mid_s': np.float32(0.02), 'cat_s': np.float32(0.03),
        'more': np.float32(1.5),
    }  # fmt: skip

    def quantised(name: str, scale: str) -> list[onnx.NodeProto]:
        ends = [scale, 'zero']
        return [node('QuantizeLinear', [name, *ends], [f'{name}_q']),
                node('DequantizeLinear', [f'{name}_q', *ends], [f'{name}_dq'])]  # fmt: skip

    def convolution(source: str, name: str, ins: int, size: int) -> list[onnx.NodeProto]:
        constants[f'{name}_w'] = rng.integers(-127, 128, (16, ins, size, size), np.int8)
        constants[f'{name}_s'] = np.full(16, 2e-3, np.float32)
        weights = node('DequantizeLinear', [f'{name}_w', f'{name}_s', 'w_zero'], [f'{name}_dw'],
                       axis=0)  # fmt: skip
        pads = [size // 2] * 4
        return [weights, node('Conv', [source, f'{name}_dw'], [name], pads=pads)]

    nodes = [
        node('Cast', ['x'], ['float'], to=TensorProto.FLOAT),
        node('Mul', ['float', 'byte'], ['unit']), *quantised('unit', 'in_s'),
        *convolution('unit_dq', 'a', 3, 3), node('Relu', ['a'], ['ra']), *quantised('ra', 'mid_s'),
        *convolution('ra_dq', 'b', 16, 3), node('Relu', ['b'], ['rb']), *quantised('rb', 'cat_s'),
        node('Concat', ['ra_dq', 'rb_dq'], ['raw' if pointwise else 'cat'], axis=1),
        *([node('Mul', ['more', 'raw'], ['cat'])] if pointwise else []),
        *quantised('cat', 'cat_s'),
        *convolution('cat_dq', 'y', 32, 1),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['N', 16, HEIGHT, WIDTH])]
    return save(path, nodes, constants, outputs=outputs)


@pytest.mark.parametrize('pointwise', [False, True])
def test_what_is_joined_keeps_its_scale(tmp_path: Path, pointwise: bool) -> None:
    """OpenVINO 2026.4 by itself rounds it to whole numbers, in silence."""
    path = joined_graph(tmp_path / 'joined.onnx', pointwise)
    x = planes(2)
    with closing(opened(path)) as backend, closing(reference(path)) as other:
        answer, expected = backend.run({'x': x})['y'], other.run({'x': x})['y']
        assert_in_eight_bits(backend)
    assert np.abs(answer - expected).mean() < 0.02 * np.abs(expected).mean()


_AFFINITY = """
import os, sys
from pathlib import Path
from depth_ros.backends import BackendOptions
from depth_ros.backends.ov import OpenVinoBackend
allowed = os.sched_getaffinity(0)
backend = OpenVinoBackend(Path(sys.argv[1]), BackendOptions(threads=len(allowed)))
for _ in range(3):
    backend.warm_up()
threads = os.listdir('/proc/self/task')
print(len(threads) > 1, all(os.sched_getaffinity(int(thread)) == allowed for thread in threads))
"""


@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'), reason='Linux tells cores of threads')
def test_no_thread_is_bound_to_a_core(lite0: Model) -> None:
    """In a process of its own: in the tests' process, other runtimes may bind theirs."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip('one core only')
    done = subprocess.run(
        [sys.executable, '-c', _AFFINITY, str(lite0.depth_path)],
        cwd=ROOT, capture_output=True, text=True,
    )
    assert done.stdout == 'True True\n', done.stderr


def test_threads_are_those_asked_for(depth_path: Path) -> None:
    assert opened(depth_path, threads=1).description.endswith(', 1 threads')
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1
    if cores > 1:
        assert opened(depth_path, threads=2).description.endswith(', 2 threads')


def test_warm_up_changes_no_answer_and_close_gives_the_graph_back(depth_path: Path) -> None:
    backend = opened(depth_path)
    backend.warm_up()
    depth = backend.run({'image': images(1)})['depth']
    np.testing.assert_allclose(depth, 0.02 * images(1).mean(axis=3), rtol=1e-5)
    backend.close()
    assert not hasattr(backend, '_compiled')
    assert not hasattr(backend, '_request')


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ({}, r"inputs are \[\], the graph has \['image'\]"),
        ({'picture': images(1)}, r"inputs are \['picture'\]"),
        ({'image': images(1), 'more': images(1)}, r"inputs are \['image', 'more'\]"),
        ({'image': images(1)[:, :-1]}, r'image is uint8 \(1, 47, 64, 3\), the graph takes uint8'),
        ({'image': images(1)[0]}, r"takes uint8 \('N', 48, 64, 3\)"),
        ({'image': images(1)[..., :1]}, r'image is uint8 \(1, 48, 64, 1\)'),
        ({'image': images(1).astype(np.float32)}, 'image is float32'),
        ({'image': images(1).astype(np.int8)}, 'image is int8'),
        ({'image': images(0)}, r'image is uint8 \(0, 48, 64, 3\).*N of 1 or more'),
        ({'image': np.uint8(3) * np.ones((), np.uint8)}, r'image is uint8 \(\)'),
    ],
)
def test_wrong_inputs(depth_path: Path, inputs: dict[str, np.ndarray], message: str) -> None:
    backend = opened(depth_path)
    with pytest.raises(BackendError, match=message) as caught:
        backend.run(inputs)
    assert '\n' not in str(caught.value)
    depth = backend.run({'image': images(1)})['depth']
    np.testing.assert_allclose(depth, 0.02 * images(1).mean(axis=3), rtol=1e-5)


def test_inputs_of_unequal_batches(pose_path: Path) -> None:
    with pytest.raises(BackendError, match=r'current is uint8 \(2, 48, 64, 3\)'):
        opened(pose_path).run({'previous': images(3), 'current': images(2)})


def test_a_gpu_is_refused_by_name(depth_path: Path) -> None:
    options = BackendOptions(BackendKind.OPENVINO, Device.CUDA)
    with pytest.raises(BackendError, match=r'device is cuda.*allowed: auto, cpu'):
        open_backend(depth_path, options)


def test_graphs_that_cannot_be_run(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    damaged = tmp_path / 'damaged.onnx'
    damaged.write_bytes(b'\x08\x09\x3a\x02no')
    (tmp_path / 'empty.onnx').write_bytes(b'')
    unknown = helper.make_node('Dream', ['x'], ['y'])
    neg = helper.make_node('Neg', ['x'], ['y'])
    total = helper.make_node('ReduceSum', ['x', 'axis'], ['y'], keepdims=0)
    fixed, free = [value('x', TensorProto.FLOAT, ['N', 4])], [value('x', 1, ['N', 'M'])]
    cases = {
        damaged: 'refuses .*damaged.onnx',
        tmp_path / 'absent.onnx': 'absent.onnx',
        tmp_path / 'empty.onnx': 'no inputs or no outputs',
        save(tmp_path / 'unknown.onnx', [unknown], {}, fixed, [value('y', 1, ['N', 4])]): 'Dream',
        save(tmp_path / 'free.onnx', [neg], {}, free, [value('y', 1, ['N', 'M'])]):
            r'x of .*free.onnx is \[\?,\?\]; allowed: \[N, ...\]',
        save(tmp_path / 'sum.onnx', [total], {'axis': np.array([0], np.int64)}, fixed,
             [value('y', 1, [4])]): 'y of .*sum.onnx is .* for one frame; allowed',
    }  # fmt: skip
    for path, message in cases.items():
        with pytest.raises(BackendError, match=message) as caught:
            opened(path)
        assert '\n' not in str(caught.value)


def test_without_the_package_the_cure_is_named(
    depth_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(BackendError, match='pip install openvino'):
        OpenVinoBackend(depth_path, BackendOptions())


def test_nothing_is_told_to_anybody(depth_path: Path, tmp_path: Path) -> None:
    """Importing openvino as it comes writes ~/intel and calls Google Analytics."""
    home = tmp_path / 'home'
    home.mkdir()
    program = (
        'import sys\n'
        'from pathlib import Path\n'
        'calls = ("socket.connect", "socket.getaddrinfo", "os.fork", "subprocess.Popen")\n'
        'seen = []\n'
        'sys.addaudithook(lambda event, _: seen.append(event) if event in calls else None)\n'
        'from depth_ros.backends import BackendOptions\n'
        'from depth_ros.backends.ov import OpenVinoBackend\n'
        'backend = OpenVinoBackend(Path(sys.argv[1]), BackendOptions())\n'
        'backend.warm_up()\n'
        'told = [name for name in sys.modules if name.startswith("openvino_telemetry")]\n'
        'print(seen, told, backend.description)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program, str(depth_path)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, 'HOME': str(home), 'CI': ''}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('[] [] OpenVINO ')
    assert list(home.rglob('*')) == []
