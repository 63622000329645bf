"""The command line as a user meets it: a process, its exit status, and what it prints."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import graphs
import numpy as np
import pytest
import recordings

from depth_ros.cli import main as cli
from depth_ros.doctor import examine
from depth_ros.errors import BagError

ROOT = Path(__file__).resolve().parent.parent
NAMES = [verb.NAME for verb in cli.VERBS]


def depth_ros(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'depth_ros', *arguments], cwd=ROOT,
                          capture_output=True, text=True, timeout=120)


def verb_that(action) -> types.ModuleType:
    """A verb whose run() is `action`."""
    verb = types.ModuleType('fake', 'A verb for tests.')
    verb.NAME, verb.HELP = 'fake', 'fake'
    verb.add_arguments, verb.run = lambda parser: None, lambda args: action()
    return verb


def raising(error: BaseException):
    def action() -> int:
        raise error
    return action


@pytest.fixture
def run_fake(monkeypatch):
    """Run `depth_ros fake` in this process with an action of one's own."""
    def run(action) -> int:
        monkeypatch.setattr(cli, 'VERBS', (verb_that(action),))
        return cli.main(['fake'])
    return run


def test_help_lists_every_verb_with_a_line():
    done = depth_ros('--help')
    assert done.returncode == 0
    for verb in cli.VERBS:
        assert f'\n    {verb.NAME}' in done.stdout
        assert verb.HELP
        assert '\n' not in verb.HELP


def test_no_verb_is_an_error_that_shows_the_usage():
    done = depth_ros()
    assert done.returncode == 2
    assert 'usage: depth_ros' in done.stderr


def test_unknown_verb_names_the_known_ones():
    done = depth_ros('dream')
    assert done.returncode == 2
    assert all(name in done.stderr for name in ('dream', *NAMES))


@pytest.mark.parametrize('verb', cli.VERBS, ids=NAMES)
def test_help_of_a_verb_explains_it_and_every_argument(verb):
    parser = argparse.ArgumentParser(prog=f'depth_ros {verb.NAME}', description=verb.__doc__)
    verb.add_arguments(parser)
    assert len(parser.description) > 60
    assert parser.format_help()
    for action in parser._actions:
        assert action.help, f'{verb.NAME} {action.option_strings or action.dest} has no help'


def test_names_are_unique_and_in_their_own_files():
    assert len(set(NAMES)) == len(NAMES)
    folder = ROOT / 'depth_ros' / 'cli'
    verbs = {path.stem for path in folder.glob('*.py') if '\nNAME = ' in path.read_text()}
    assert {verb.__name__.rsplit('.', 1)[1] for verb in cli.VERBS} == verbs


def test_error_of_ours_is_one_line_and_status_2(run_fake, capsys):
    status = run_fake(raising(BagError('no bag at /nowhere')))
    assert status == 2
    assert capsys.readouterr().err == 'depth_ros fake: error: no bag at /nowhere\n'


def test_full_disk_is_one_line_and_status_2(run_fake, capsys):
    status = run_fake(raising(OSError(28, 'No space left on device', '/cache/images.npy')))
    assert status == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'No space left on device' in error
    assert '/cache/images.npy' in error


def test_interrupt_is_status_130(run_fake, capsys):
    assert run_fake(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == 'depth_ros fake: interrupted\n'


@pytest.mark.parametrize('name', ['synthesize', 'process'])
def test_termination_leaves_nothing_half_written(tmp_path, name):
    out = tmp_path / 'out' / 'bag'
    if name == 'process':
        bag = recordings.write_recording(tmp_path / 'bag', 500, depth=False, odometry=False)
        arguments = [str(bag), '--model', str(graphs.write_model(tmp_path / 'tiny').path)]
    else:
        arguments = ['--frames', '5000', '--width', '64', '--height', '48']
    process = subprocess.Popen([sys.executable, '-m', 'depth_ros', name, *arguments, '--out', out],
                               cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.parent.glob('.depth_ros_*/bag/bag.mcap')) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, complained = process.communicate(timeout=60)
    # An interrupt amid Python that a library runs ends the process by SIGINT: 130 to a shell, too.
    assert process.returncode in (130, -signal.SIGINT), complained
    assert complained.splitlines()[-1] == f'depth_ros {name}: interrupted'
    assert 'Traceback' not in complained
    assert list(out.parent.iterdir()) == []


def test_bug_keeps_its_traceback(run_fake):
    with pytest.raises(ZeroDivisionError):
        run_fake(lambda: 1 // 0)


def test_status_of_a_verb_is_that_of_the_command(run_fake):
    assert run_fake(lambda: 3) == 3


def test_reader_that_leaves_is_no_error():
    done = subprocess.run(
        f'{sys.executable} -m depth_ros models --json | true; exit ${{PIPESTATUS[0]}}',
        shell=True, executable='/bin/bash', cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ''


def test_version_is_that_of_package_xml():
    done = depth_ros('--version')
    assert done.stdout.strip().split()[1] in (ROOT / 'package.xml').read_text()


def test_doctor_times_a_model_and_checks_its_answers(tmp_path):
    model = graphs.write_model(tmp_path / 'tiny', graphs.spec(motion=None))
    image = np.full((2, graphs.HEIGHT, graphs.WIDTH, 3), 100, np.uint8)
    depth = np.full(image.shape[:3], 2.0, np.float32)
    np.savez(model.path / 'samples.npz', image=image, depth=depth)
    findings = json.loads(depth_ros('doctor', '--json', '--model', str(model.path)).stdout)
    found = {finding['name']: finding for finding in findings}
    good = found[f'model {model.path}']
    assert good['state'] == 'ok', good
    assert re.search(r' ms a frame on (OpenVINO|ONNX Runtime) \d', good['found'])
    assert {found[name]['state'] for name in ('numpy', 'cv2', 'rosbags', 'onnxruntime')} == {'ok'}

    np.savez(model.path / 'samples.npz', image=image, depth=1.1 * depth)
    done = depth_ros('doctor', '--model', str(model.path))
    assert done.returncode == 1
    assert 'off by 0.1 ' in done.stdout
    assert 'cure: ' in done.stdout


def test_doctor_checks_the_pose_network_too(tmp_path):
    model = graphs.write_model(tmp_path / 'moving')
    image = np.full((2, graphs.HEIGHT, graphs.WIDTH, 3), 100, np.uint8)
    depth = np.full(image.shape[:3], 2.0, np.float32)
    motion = np.tile(np.array(graphs.FORWARD, np.float32), (2, 1))
    for factor, state in ((1.0, 'ok'), (1.5, 'broken')):
        np.savez(model.path / 'samples.npz', image=image, depth=depth, previous=image,
                 current=image, motion=factor * motion)
        (finding,) = [one for one in examine(str(model.path)) if one.name.startswith('model')]
        assert (finding.state.value, 'motion is off' in finding.found) == (state, factor != 1.0)


def test_doctor_reports_a_missing_model_with_a_cure():
    done = depth_ros('doctor', '--json', '--model', 'no-such-model')
    assert done.returncode == 1
    broken = [entry for entry in json.loads(done.stdout) if entry['state'] == 'broken']
    assert [entry['name'] for entry in broken] == ['model no-such-model']
    assert 'depth_ros models' in broken[0]['cure']


def test_ros2cli_extension_gives_the_same_verbs(monkeypatch, capsys):
    command = types.ModuleType('ros2cli.command')
    command.CommandExtension = object
    monkeypatch.setitem(sys.modules, 'ros2cli', types.ModuleType('ros2cli'))
    monkeypatch.setitem(sys.modules, 'ros2cli.command', command)
    from depth_ros.cli.ros2 import DepthCommand

    extension = DepthCommand()
    parser = argparse.ArgumentParser(prog='ros2')
    extension.add_arguments(parser.add_subparsers().add_parser('depth'), 'ros2')
    args = parser.parse_args(['depth', 'doctor', '--model', 'no-such-model', '--json'])
    assert extension.main(parser=parser, args=args) == 1
    assert 'no-such-model' in capsys.readouterr().out
