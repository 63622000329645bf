"""8-bit copies of models: a folder like any other, judged on frames not calibrated on."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from recordings import PERIOD_NS, rewrite, write_recording
from tiny_networks import SAMPLES, SPEC, contrasted_networks

from depth_ros.backends import BackendKind, BackendOptions, Device
from depth_ros.bags import Selection, find_camera_topics, read_frames
from depth_ros.bags.reader import BagReader
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.main import main
from depth_ros.errors import BagError, DepthRosError, ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import METADATA_KEY, Precision
from depth_ros.offline.recordings import rectified
from depth_ros.pipeline import DepthPipeline
from training.config import BagSource
from training.export.graphs import disparity_graphs
from training.export.model_folder import convert_to_half, export_model
from training.export.parity import check_parity
from training.int8.quantize import INT8_TOLERANCE, Int8Report, convert_to_int8

FRAMES = 30


@pytest.fixture(scope='module', autouse=True)
def cache_home(tmp_path_factory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    return write_recording(tmp_path_factory.mktemp('bags') / 'waves', frames=FRAMES)


@pytest.fixture(scope='module')
def single(tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp('models') / 'tiny'
    motion = replace(SPEC.motion, interval_s=PERIOD_NS * 1e-9)
    spec = replace(SPEC, motion=motion)
    export_model(*disparity_graphs(*contrasted_networks(), spec), spec, SAMPLES, out)
    (out / 'README.md').write_text('card')
    return Model.load(out)


def convert(model: Model, bag: Path, out: Path, tolerance: float = INT8_TOLERANCE) -> Int8Report:
    return convert_to_int8(
        model, BagSource(bag), RectifyMode.AUTO, out, lambda _: None, tolerance
    )


@pytest.fixture(scope='module')
def report(single: Model, bag: Path, tmp_path_factory) -> Int8Report:
    return convert(single, bag, tmp_path_factory.mktemp('int8') / 'tiny8')


def test_the_folder_is_a_model_like_the_others(report: Int8Report, single: Model) -> None:
    model = Model.load(report.path)
    made = f'{single.spec.training_run}; int8 calibrated on 24 frames of waves'
    assert model.spec == replace(
        single.spec, precision=Precision.INT8, tolerance=INT8_TOLERANCE, training_run=made
    )
    stored = {p.key: p.value for p in onnx.load(model.depth_path).metadata_props}
    assert stored.keys() == {METADATA_KEY}
    assert json.loads(stored[METADATA_KEY])['precision'] == 'int8'
    assert (model.path / 'README.md').read_text() == 'card'
    np.testing.assert_array_equal(model.samples()['depth'], single.samples()['depth'])
    result = subprocess.run(
        ['sha256sum', '-c', 'SHA256SUMS'], cwd=model.path, check=False, capture_output=True
    )
    assert result.returncode == 0
    assert model.depth_path.stat().st_size < 0.4 * single.depth_path.stat().st_size
    assert sorted(path.name for path in report.path.parent.iterdir()) == ['tiny8']


def test_the_pipeline_runs_it_and_answers_nearly_the_same(
    report: Int8Report, single: Model, bag: Path
) -> None:
    with BagReader(bag) as reader:
        topics = find_camera_topics(reader, None, None)
    frames = list(rectified(read_frames(bag, topics, Selection(24)), RectifyMode.AUTO, '/image'))
    answers = []
    options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads=1)
    for model in (single, Model.load(report.path)):
        pipeline = DepthPipeline.open(model, options)
        answers.append(np.stack([answer.depth for answer in pipeline.run(frames)]))
        pipeline.close()
    inverse = 1 / answers[0]
    unit = np.maximum(inverse, np.median(inverse, axis=(1, 2), keepdims=True))
    difference = float(np.mean(np.abs(1 / answers[1] - inverse) / unit))
    assert report.judged_frames == len(frames) == 6
    assert report.depth_difference == pytest.approx(difference, rel=1e-3)
    assert 0 < report.depth_difference < INT8_TOLERANCE
    assert report.motion_difference is not None
    assert 0 < report.motion_difference < INT8_TOLERANCE


def test_the_report_holds_what_evaluate_says_of_both(
    report: Int8Report, single: Model, bag: Path, capsys: pytest.CaptureFixture
) -> None:
    assert report.accuracy is not None
    for path, accuracy in zip((single.path, report.path), report.accuracy):
        command = ['evaluate', '--bag', str(bag), '--model', str(path), '--first', '24', '--json']
        assert main(command) == 0
        depth = json.loads(capsys.readouterr().out)['depth'][0]
        assert depth['median_scaled']['abs_rel'] == pytest.approx(accuracy.scaled)
        assert depth['unscaled']['abs_rel'] == pytest.approx(accuracy.unscaled)
    text = report.summary()
    for figure in (*(f'{accuracy.scaled:.4f}' for accuracy in report.accuracy),
                   f'{report.depth_difference:.4f}', f'{report.motion_difference:.4f}'):
        assert figure in text


def test_frames_of_a_dark_place_do_not_cut_off_what_the_samples_show(
    single: Model, bag: Path, tmp_path: Path
) -> None:
    def dimmed(topic: str, _: int, message: Any) -> Any:
        if topic == '/image':
            message.data = message.data // 8
        return message

    dark = rewrite(tmp_path / 'dark', bag, dimmed)
    report = convert(single, dark, tmp_path / 'dark8')
    of_depth, of_motion = check_parity(Model.load(report.path))
    assert of_motion is not None
    assert max(of_depth, of_motion) < 0.5 * INT8_TOLERANCE


def test_what_differs_too_much_is_refused_with_the_figures(
    single: Model, bag: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r'depth\.onnx differs from fp32 on 6 frames by '
                                         r'\d\.\d\de-\d\d \(relative\); allowed: 1e-06'):
        convert(single, bag, tmp_path / 'out', tolerance=1e-6)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', ['int8', 'fp16', 'bare', 'short'])
def test_what_cannot_be_quantised_is_refused(
    kind: str, single: Model, report: Int8Report, bag: Path, tmp_path: Path
) -> None:
    model, message = single, ''
    error: type[DepthRosError] = ModelError
    if kind == 'int8':
        model, message = Model.load(report.path), 'tiny8 is int8; need an fp32 model'
    elif kind == 'fp16':
        half = tmp_path / 'half'
        convert_to_half(single, half)
        model, message = Model.load(half), 'half is fp16; need an fp32 model'
    elif kind == 'bare':
        folder = tmp_path / 'bare'
        folder.mkdir()
        for path in (single.depth_path, single.pose_path):
            (folder / path.name).write_bytes(path.read_bytes())
        model, message = Model.load(folder), 'has no samples.npz to check the result with'
    else:
        bag = write_recording(tmp_path / 'short', frames=12)
        error, message = BagError, 'short: 12 frames are selected; .* needs 20 or more'
    with pytest.raises(error, match=message):
        convert(model, bag, tmp_path / 'out')
    assert not [path for path in tmp_path.iterdir() if 'out' in path.name]


def test_weights_in_a_file_of_their_own_are_read_and_not_left_behind(
    single: Model, report: Int8Report, bag: Path, tmp_path: Path
) -> None:
    networks = disparity_graphs(*contrasted_networks(), single.spec)
    export_model(*networks, single.spec, SAMPLES, tmp_path / 'split', max_file_bytes=1000)
    split = Model.load(tmp_path / 'split')
    assert split.depth_path.with_name('depth.onnx.data').is_file()
    found = convert(split, bag, tmp_path / 'out')
    assert [path.name for path in found.path.glob('*.data')] == []
    assert found.size_bytes[0] > found.size_bytes[1] == report.size_bytes[1]


def test_command_line(single: Model, bag: Path, tmp_path: Path,
                      capsys: pytest.CaptureFixture) -> None:
    export = ['export', str(single.path), '--out', str(tmp_path / 'out')]
    assert main([*export, '--precision', 'int8']) == 2
    assert 'int8 is calibrated on a bag, give --bag BAG' in capsys.readouterr().err
    assert main([*export, '--precision', 'fp16', '--bag', str(bag)]) == 2
    assert 'nothing else takes one' in capsys.readouterr().err
    assert main([*export, '--precision', 'int8', '--bag', f'{bag}:0-10']) == 2
    assert '10 frames are selected' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    (tmp_path / 'config.yaml').write_text('')
    run = ['export', str(tmp_path), '--out', str(tmp_path / 'out'), '--precision', 'int8']
    assert main([*run, '--bag', str(bag)]) == 2
    assert 'is a run: export it first' in capsys.readouterr().err


def test_command_line_calibrates_on_a_bag_without_truth_too(
    single: Model, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bag = write_recording(tmp_path / 'bare', frames=24, depth=False, odometry=False)
    out = tmp_path / 'out'
    command = ['export', str(single.path), '--precision', 'int8', '--out', str(out)]
    assert main([*command, '--bag', f'{bag}:2-23']) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert 'calibrating on 17 frames' in printed
    assert 'on 4 frames kept from calibration' in printed
    assert 'AbsRel' not in printed
    assert Model.load(out).spec.precision is Precision.INT8
