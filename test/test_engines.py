"""Engines are rebuilt when anything they depend on changes, verified, and kept privately."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import graphs
import onnx
import pytest
from fake_gpu_machine import FOLDER, fake_gpu

from depth_ros.backends import (
    UNWATCHED,
    BackendKind,
    BackendOptions,
    EngineOptions,
    LoadingCancelledError,
    open_backend,
)
from depth_ros.backends.engines.building import build_engine
from depth_ros.backends.engines.cache import (
    EngineCache,
    EngineKey,
    EngineRecord,
    pack_engine,
    unpack_engine,
)
from depth_ros.backends.engines.library import find_library
from depth_ros.backends.parity import depth_case
from depth_ros.cli.main import main
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import Model

__all__ = ['fake_gpu']

KEY = EngineKey('ab' * 32, 'tensorrt', '11.0.0', 'Fake GPU', 'sm_89', EngineOptions())
RECORD = EngineRecord(KEY, 'tiny', 'depth.onnx', '2026-01-01T00:00:00+00:00', 1.5, 1e-5, 2e-3)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return graphs.write_model(tmp_path / 'tiny')


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for every build."""
    path = tmp_path / 'builds'
    path.touch()
    monkeypatch.setenv('FAKE_BUILDS', str(path))
    return path


def count(builds: Path) -> int:
    return len(builds.read_text().splitlines())


def open_depth(model: Model, loading=UNWATCHED, **engine) -> None:
    options = BackendOptions(BackendKind.TENSORRT, engine=EngineOptions(**engine))
    open_backend(model.depth_path, options, lambda: depth_case(model), loading).close()


class Watched:
    """Notes what it is told, and cancels when `stop` says so."""

    def __init__(self, stop=lambda doing, share: False) -> None:
        self.told: list[tuple[str, float | None]] = []
        self._stop, self._stopped = stop, False

    def tell(self, doing: str, share: float | None = None) -> None:
        self.told.append((doing, share))
        self._stopped = self._stopped or self._stop(doing, share)

    def cancelled(self) -> bool:
        return self._stopped


def test_an_engine_is_built_once(fake_gpu, model, builds):
    open_depth(model)
    open_depth(model)
    assert count(builds) == 1


@pytest.mark.parametrize(
    ('variable', 'value'),
    [
        ('FAKE_TRT_VERSION', '11.1.0'),
        ('FAKE_GPU_NAME', 'Other GPU'),
        ('FAKE_GPU_CC', '12.0'),
    ],
)
def test_another_library_or_gpu_builds_anew(fake_gpu, model, builds, monkeypatch, variable, value):
    open_depth(model)
    monkeypatch.setenv(variable, value)
    open_depth(model)
    assert count(builds) == 2
    monkeypatch.delenv(variable)
    open_depth(model)  # the first one is still there
    assert count(builds) == 2


def test_one_changed_byte_of_the_graph_builds_anew(fake_gpu, model, builds):
    open_depth(model)
    graph = onnx.load(model.depth_path)
    graph.producer_name += '.'
    onnx.save(graph, model.depth_path)
    open_depth(model)
    assert count(builds) == 2


@pytest.mark.parametrize(
    'engine', [{'workspace_mib': 64}, {'optimization_level': 5}, {'max_batch': 2}], ids=str
)
def test_other_options_build_anew(fake_gpu, model, builds, engine):
    open_depth(model)
    open_depth(model, **engine)
    assert count(builds) == 2


def test_options_reach_the_builder(fake_gpu, model):
    open_depth(model, workspace_mib=64, optimization_level=5, max_batch=2)
    (path,) = fake_gpu.glob('*.engine')
    _, engine = unpack_engine(path.read_bytes(), 'it')
    header = json.loads(engine.split(b'\n')[1])
    assert header['workspace'] == 64 << 20
    assert header['level'] == 5
    assert header['most'] == {'image': [2, graphs.HEIGHT, graphs.WIDTH, 3]}
    assert header['strongly typed']
    assert header['flags'] == []  # without TF32, which is on unless it is cleared
    assert header['timing cache']


def test_weights_beside_the_graph_are_part_of_it(fake_gpu, model, builds):
    open_depth(model)
    (model.path / 'depth.onnx.data').write_bytes(b'weights')
    open_depth(model)
    assert count(builds) == 2


@pytest.mark.parametrize('spoil', ['truncated', 'flipped', 'empty', 'header'])
def test_a_damaged_file_is_built_anew(fake_gpu, model, builds, spoil):
    open_depth(model)
    (path,) = fake_gpu.glob('*.engine')
    data = bytearray(path.read_bytes())
    if spoil == 'truncated':
        data = data[: len(data) // 2]
    elif spoil == 'flipped':
        data[-10] ^= 1
    elif spoil == 'empty':
        data = bytearray()
    else:
        data[30:40] = b'\xff' * 10
    path.write_bytes(data)
    open_depth(model)
    assert count(builds) == 2
    open_depth(model)
    assert count(builds) == 2


def test_a_whole_engine_that_the_library_refuses_is_built_anew(fake_gpu, model, builds):
    open_depth(model)
    (kept,) = EngineCache().engines()
    EngineCache().store(kept.record, b'of another driver')
    open_depth(model)
    assert count(builds) == 2


def test_a_gpu_without_room_does_not_make_the_engine_stale(fake_gpu, model, builds, monkeypatch):
    open_depth(model)
    monkeypatch.setenv('FAKE_FULL', '1')
    with pytest.raises(BackendError, match='cudaErrorMemoryAllocation'):
        open_depth(model)
    assert count(builds) == 1


def test_a_wrong_engine_is_refused_and_not_built_again_until_asked(
    fake_gpu, model, builds, monkeypatch, capsys
):
    monkeypatch.setenv('FAKE_FACTOR', '1.01')
    for _ in range(2):
        with pytest.raises(BackendError, match=r'wrongly.* by 0\.0099 .*allowed: 0\.002'):
            open_depth(model)
    assert count(builds) == 1
    assert list(fake_gpu.glob('*.engine')) == []
    monkeypatch.delenv('FAKE_FACTOR')
    with pytest.raises(BackendError, match=r'depth_ros engine .*/tiny --rebuild` tries again'):
        open_depth(model)
    assert main(['engine', str(model.path), '--rebuild']) == 0
    open_depth(model)
    assert count(builds) == 3  # depth and pose


def test_an_engine_of_nonsense_numbers_is_refused(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_FACTOR', 'nan')
    with pytest.raises(BackendError, match='differs from that of ONNX Runtime by nan'):
        open_depth(model)


def test_two_processes_build_once(fake_gpu, model, builds):
    code = (
        'import sys; from depth_ros.cli.main import main; '
        f'sys.exit(main(["engine", {str(model.path)!r}]))'
    )
    environment = {**os.environ, 'PYTHONPATH': f'{FOLDER}:{FOLDER.parents[1]}',
                   'FAKE_BUILD_S': '1.5'}  # fmt: skip
    processes = [
        subprocess.Popen([sys.executable, '-c', code], env=environment, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert count(builds) == 2  # one of depth, one of pose
    assert any('waiting for another process' in errors for _, errors in told)


def test_progress_rises_to_the_end(fake_gpu, model):
    watched = Watched()
    open_depth(model, watched)
    shares = [share for doing, share in watched.told if share is not None]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == pytest.approx(1.0)
    assert len(set(shares)) > 20
    assert watched.told[-1] == ('verifying engine of depth.onnx', None)


def test_a_build_can_be_cancelled(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_BUILD_S', '20')
    started = time.monotonic()
    with pytest.raises(LoadingCancelledError):
        open_depth(model, Watched(lambda doing, share: bool(share)))
    assert time.monotonic() - started < 10
    assert list(fake_gpu.glob('*.engine')) == []
    monkeypatch.setenv('FAKE_BUILD_S', '0')
    open_depth(model)


def test_waiting_for_another_process_can_be_cancelled(tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with cache.locked(KEY, UNWATCHED):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        watched = Watched(lambda doing, share: 'waiting' in doing)
        with pytest.raises(LoadingCancelledError), cache.locked(KEY, watched):
            pass
    finally:
        done.set()
        thread.join()


def test_half_precision_by_the_flag_of_tensorrt_10(fake_gpu, model, monkeypatch):
    with pytest.raises(BackendError, match=r'11\.0\.0 has no half-precision flag.*export'):
        open_depth(model, fp16=True)
    monkeypatch.setenv('FAKE_TRT_VERSION', '10.3.0')
    open_depth(model, fp16=True)
    (kept,) = EngineCache().engines()
    assert kept.record.key.options.fp16
    assert kept.record.difference is not None
    assert 1e-5 < kept.record.difference < 1e-3
    assert kept.record.allowed == pytest.approx(0.06)


def test_a_version_that_is_too_old(fake_gpu, monkeypatch):
    for name in ('tensorrt_rtx', 'tensorrt_rtx_bindings'):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv('FAKE_TRT_VERSION', '8.6.1')
    with pytest.raises(BackendError, match=r'TensorRT 8\.6\.1 is too old, 10 or newer'):
        find_library()


def test_the_timing_cache_is_handed_on(fake_gpu, model):
    open_depth(model)
    open_depth(model, optimization_level=1)
    (timings,) = fake_gpu.glob('*.timings')
    assert timings.read_bytes() == b'timed;timed;'


def test_kernels_compiled_while_running_are_kept_for_the_next_start(fake_gpu, model):
    options = BackendOptions(BackendKind.TENSORRT)
    for _ in range(2):
        backend = open_backend(model.depth_path, options, lambda: depth_case(model))
        backend.warm_up()
        backend.close()
        (kernels,) = fake_gpu.glob('*.kernels')
        assert kernels.read_bytes() in (f'compiled by {os.getpid()}'.encode(), b'from before')
        assert kernels.stat().st_mode & 0o777 == 0o600
        kernels.write_bytes(b'from before')
    assert kernels.read_bytes() == b'from before'


def test_a_build_that_fails_says_why(fake_gpu, model, tmp_path):
    graph = onnx.load(model.depth_path)
    del graph.graph.node[:]
    graph.graph.output[0].CopyFrom(graph.graph.input[0])
    path = tmp_path / 'empty.onnx'
    onnx.save(graph, path)
    with pytest.raises(BackendError, match=r'cannot build .*: the network has no layers'):
        build_engine(find_library(), path, EngineOptions(), UNWATCHED)


def test_engines_for_other_gpus_need_tensorrt_rtx(fake_gpu, model):
    with pytest.raises(BackendError, match='builds for the GPU that is here alone'):
        build_engine(find_library(), model.depth_path, EngineOptions(), UNWATCHED, target='sm_89')


def test_the_cache_is_the_users_own(tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    path = cache.store(RECORD, b'engine')
    assert path.stat().st_mode & 0o777 == 0o600
    cache.folder.chmod(0o777)
    with pytest.raises(BackendError, match='others may write into the engine cache'):
        EngineCache(tmp_path / 'engines')


def test_engines_that_others_may_have_written_are_not_loaded(tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    path = cache.store(RECORD, b'engine')
    assert cache.load(KEY, 'depth.onnx') == b'engine'
    path.chmod(0o666)
    assert cache.load(KEY, 'depth.onnx') is None
    path.chmod(0o600)
    path.rename(tmp_path / 'elsewhere')
    path.symlink_to(tmp_path / 'elsewhere')
    assert cache.load(KEY, 'depth.onnx') is None


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
def test_a_cache_of_another_user_is_refused(tmp_path):
    EngineCache(tmp_path / 'engines')
    os.chown(tmp_path / 'engines', 65534, 65534)
    with pytest.raises(BackendError, match='belongs to another user'):
        EngineCache(tmp_path / 'engines')


def test_the_cache_forgets_what_was_not_used_for_longest(tmp_path):
    cache = EngineCache(tmp_path / 'engines', max_bytes=5000)
    records = [dataclasses.replace(RECORD, key=dataclasses.replace(KEY, gpu=f'GPU {i}'))
               for i in range(4)]  # fmt: skip
    for age, record in enumerate(records[:3]):
        path = cache.store(record, bytes(1000))
        os.utime(path, (1000 + age, 1000 + age))
    assert cache.load(records[0].key, 'depth.onnx') is not None  # used again
    cache.store(records[3], bytes(1000))
    assert {kept.record.key.gpu for kept in cache.engines()} == {'GPU 0', 'GPU 2', 'GPU 3'}
    assert cache.load(records[1].key, 'depth.onnx') is None


def test_kernels_count_and_go_with_their_engine(tmp_path):
    cache = EngineCache(tmp_path / 'engines', max_bytes=5000)
    path = cache.store(RECORD, bytes(1000))
    cache.kernels_path(KEY).write_bytes(bytes(4500))
    old = cache.folder / 'forgotten.refused'
    old.write_text('long ago')
    os.utime(old, (1000, 1000))
    assert set(cache.prune(5000)) == {path, cache.kernels_path(KEY), old}


def test_a_renamed_engine_is_not_taken_for_another(tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    path = cache.store(RECORD, b'engine')
    other = dataclasses.replace(KEY, gpu='Other GPU')
    path.rename(cache.folder / other.file_name(RECORD.graph))
    assert cache.load(other, 'depth.onnx') is None


def test_a_disk_that_is_full_costs_the_keeping_only(fake_gpu, model, monkeypatch):
    def full(*_) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(EngineCache, 'store', full)
    options = BackendOptions(BackendKind.TENSORRT)
    backend = open_backend(model.depth_path, options, lambda: depth_case(model))
    assert 'is not kept' in backend.caveat
    assert 'No space left on device' in backend.caveat


def test_engines_built_elsewhere_are_verified_where_they_are_installed(
    fake_gpu, model, builds, tmp_path, monkeypatch, capsys
):
    folder = elsewhere(model, tmp_path / 'sm_89')
    assert main(['engine', str(model.path), '--install', str(folder)]) == 0
    assert 'verified, kept as' in capsys.readouterr().out
    before = count(builds)
    open_depth(model)
    assert count(builds) == before
    monkeypatch.setenv('FAKE_FACTOR', '2')
    assert main(['engine', str(model.path), '--install', str(folder)]) == 2
    assert 'wrongly' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('variable', 'value', 'words'),
    [
        ('FAKE_TRT_VERSION', '11.9.9', 'tensorrt 11.0.0, here is tensorrt 11.9.9'),
        ('FAKE_GPU_CC', '12.0', 'sm_89, this GPU is sm_120'),
    ],
)
def test_engines_of_another_machine_are_not_installed(
    fake_gpu, model, tmp_path, monkeypatch, capsys, variable, value, words
):
    folder = elsewhere(model, tmp_path / 'sm_89')
    monkeypatch.setenv(variable, value)
    assert main(['engine', str(model.path), '--install', str(folder)]) == 2
    assert words in capsys.readouterr().err


def elsewhere(model: Model, folder: Path) -> Path:
    """What --target writes; the fake is no TensorRT-RTX, which alone builds for others."""
    from depth_ros.backends.engines.opening import Machine, make_record

    machine = Machine.find()
    folder.mkdir()
    for path in (model.depth_path, model.path / 'pose.onnx'):
        key = dataclasses.replace(machine.key(path, EngineOptions()), gpu='sm_89')
        built = build_engine(machine.library, path, EngineOptions(), UNWATCHED)
        record = make_record(key, path, 0.1)
        (folder / f'{path.stem}.engine').write_bytes(pack_engine(record, built.engine))
    return folder


def test_the_verb_lists_and_prunes(fake_gpu, model, capsys):
    assert main(['engine', str(model.path)]) == 0
    assert 'depth.onnx: TensorRT 11.0.0, Fake GPU' in capsys.readouterr().out
    assert main(['engine', '--list']) == 0
    listed = capsys.readouterr().out
    assert 'tiny/depth.onnx: tensorrt 11.0.0, Fake GPU (sm_89)' in listed
    assert 'differs from ONNX Runtime by' in listed
    assert '2 engines' in listed
    assert main(['engine', '--prune', '0']) == 0
    assert capsys.readouterr().out.count('removed') >= 2
    assert main(['engine', '--list']) == 0
    assert '0 engines' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], 'give a MODEL'),
        (['lite0', '--out', 'x'], '--target and --out go together'),
        (['--prune', '-1'], '--prune is -1'),
        (['lite0', '--engine-workspace', '1'], 'workspace_mib is 1, allowed: 16'),
    ],
)
def test_wrong_arguments_get_one_line(fake_gpu, arguments, words, capsys):
    assert main(['engine', *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
