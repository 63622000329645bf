"""The verb models: lists what is found by name, damaged models included."""

import json

import graphs
import pytest

from depth_ros.cli.main import main


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / 'models'
    folder.mkdir()
    monkeypatch.setenv('DEPTH_ROS_MODELS', str(folder))
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'empty'))
    return folder


def listed(capsys):
    status = main(['models', '--json'])
    return status, {entry['name']: entry for entry in json.loads(capsys.readouterr().out)}


def test_json_holds_the_spec(capsys, models):
    model = graphs.write_model(models / 'tiny')
    status, entries = listed(capsys)
    assert status == 0
    assert entries['tiny']['spec'] == json.loads(model.spec.to_json())
    assert entries['tiny']['path'] == str(models / 'tiny')
    assert entries['tiny']['egomotion'] is True


def test_text_names_size_scale_and_licence(capsys, models):
    graphs.write_model(models / 'tiny', graphs.spec(motion=None))
    assert main(['models']) == 0
    text = capsys.readouterr().out
    for part in ('tiny\n', '64x48, fp32', 'MB: depth\n', 'metric (from depth truth)', 'Apache'):
        assert part in text


def test_a_damaged_model_is_listed_with_the_reason(capsys, models):
    graphs.write_model(models / 'good')
    graphs.write_model(models / 'bad')
    (models / 'bad' / 'pose.onnx').unlink()
    status, entries = listed(capsys)
    assert status == 1
    assert 'spec' in entries['good']
    assert 'pose.onnx' in entries['bad']['error']
    assert main(['models']) == 1
    assert 'cannot be loaded' in capsys.readouterr().out
