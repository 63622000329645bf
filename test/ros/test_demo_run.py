"""`depth_ros demo` as a user runs it: three processes over DDS, and what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.synthetic import SyntheticBag, write_bag

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 20
CAMERA = Intrinsics(80.0, 80.0, 47.5, 35.5, 96, 72)


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'scene'
    write_bag(path, SyntheticBag(1_000_002, FRAMES, 10.0, CAMERA))
    return path


def start_demo(bag: Path, model: Path | str, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, '-m', 'depth_ros', 'demo', '--bag', str(bag), '--model', str(model),
               '--out', str(out), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status and what it printed; killed where it hangs."""
    try:
        printed, complained = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, printed, complained


def processes_that_name(path: Path) -> list[str]:
    """Command lines of running processes in which a path occurs."""
    lines = []
    for entry in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = entry.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if str(path) in line and int(entry.parent.name) != os.getpid():
            lines.append(line)
    return lines


def test_demo_answers_frames_and_shows_them(bag, model, tmp_path):
    out = tmp_path / 'out'
    status, printed, complained = finish(start_demo(bag, model, out, '--rate', '10'))
    assert status == 0, complained
    assert 'frames: 20 in' in printed
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['frames_in'] == FRAMES
    # The recorded images come before their camera_info: the first one cannot be used.
    assert summary['frames_out'] >= 0.9 * FRAMES
    assert (summary['frames_out'] + summary['frames_overtaken'] + summary['frames_refused']
            + summary['frames_lost']) == FRAMES
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p95']
    assert summary['frame_ids'] == ['camera_color_optical_frame']
    assert summary['image_size'] == [96, 72]
    assert summary['backend'].startswith(('ONNX Runtime', 'OpenVINO'))
    assert summary['torch_imported'] is False
    assert summary['accuracy']['depth']['images'] >= 0.9 * FRAMES
    assert summary['accuracy']['path']['poses'] >= 0.9 * FRAMES
    for name in ('input', 'depth', 'confidence', 'top_view'):
        assert cv2.imread(str(out / f'{name}.png')) is not None, name
    assert cv2.imread(str(out / 'input.png')).shape == (72, 96, 3)
    assert '<img' in (out / 'index.html').read_text()
    assert processes_that_name(tmp_path) == []


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_every_process(bag, model, tmp_path, number):
    process = start_demo(bag, model, tmp_path / 'out', '--rate', '1')
    for line in process.stdout:
        if 'playing' in line:
            break
    deadline = time.monotonic() + 30
    while len(processes_that_name(tmp_path / 'out')) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(processes_that_name(model)) >= 2  # the demo and its node
    process.send_signal(number)
    status, _, complained = finish(process)
    assert status == 130
    assert complained.splitlines()[-1] == 'depth_ros demo: interrupted'
    assert processes_that_name(tmp_path / 'out') == []
    assert processes_that_name(bag) == []


@pytest.mark.parametrize(('arguments', 'told'), [
    (['--rate', '0'], 'rate 0 Hz must be 0.5 to 120'),
    (['--image', '/nowhere'], '/nowhere'),
])
def test_bad_arguments_are_one_line(bag, model, tmp_path, arguments, told):
    status, _, complained = finish(start_demo(bag, model, tmp_path, *arguments))
    assert status == 2
    assert complained.startswith('depth_ros demo: error: ')
    assert told in complained
    assert complained.count('\n') == 1


def test_missing_bag_or_model_is_one_line(bag, model, tmp_path):
    for process, told in (
        (start_demo(tmp_path / 'none', model, tmp_path), str(tmp_path / 'none')),
        (start_demo(bag, 'no-such-model', tmp_path), 'no-such-model'),
    ):
        status, _, complained = finish(process)
        assert status == 2
        assert told in complained
        assert complained.count('\n') == 1


def test_node_that_cannot_answer_is_told_with_its_reason(bag, model, tmp_path):
    """A graph that no runtime takes: the node says so, and the demo passes it on."""
    broken = tmp_path / 'broken'
    shutil.copytree(model, broken)
    pose = broken / 'pose.onnx'
    pose.write_bytes(pose.read_bytes().replace(b'Concat', b'Concut'))
    status, _, complained = finish(start_demo(bag, broken, tmp_path / 'out'))
    assert status == 2
    assert 'Concut' in complained or 'pose.onnx' in complained
    assert 'Traceback' not in complained
    assert processes_that_name(tmp_path / 'out') == []
