"""Model folders: the spec, the files, and what damaged ones get."""

import dataclasses
import errno
import json
import math
import shutil
from contextlib import closing
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest

from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model, find_models, write_checksums
from depth_ros.model_folder.spec import ModelSpec
from depth_ros.pipeline import DepthPipeline, Frame


@pytest.mark.parametrize('intrinsics', [None, graphs.training_camera()])
@pytest.mark.parametrize('motion', [None, graphs.spec().motion])
def test_spec_round_trip(intrinsics, motion):
    spec = graphs.spec(intrinsics=intrinsics, motion=motion)
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('format_version', 2, 'format version 2'),
        ('format_version', None, 'format version None'),
        ('width', 64.5, 'width is 64.5'),
        ('width', True, 'width is True'),
        ('depth_height', 0, 'depth_height is 0'),
        ('name', 7, 'name is 7, not text'),
        ('name', 'a/b', "name 'a/b'"),
        ('scale', 'metres', 'allowed: metric, up-to-scale'),
        ('precision', 'fp8', 'allowed: fp32, fp16, int8'),
        ('min_depth', math.nan, 'min_depth is nan'),
        ('max_depth', 0.05, 'not below'),
        ('motion', {'interval_s': 1}, 'missing keys'),
        ('motion', [1], 'not a JSON object'),
        ('unheard_of', 1, 'unknown keys unheard_of'),
    ],
)
def test_spec_refuses(key, value, message):
    values = json.loads(graphs.spec().to_json())
    values[key] = value
    with pytest.raises(ModelError, match=message):
        ModelSpec.from_json(json.dumps(values))


@pytest.mark.parametrize('text', ['', '[]', '3', '{', '{"a": 1}'])
def test_spec_refuses_other_text(text):
    with pytest.raises(ModelError):
        ModelSpec.from_json(text)


def test_spec_refuses_missing_key():
    values = json.loads(graphs.spec().to_json())
    del values['licence']
    with pytest.raises(ModelError, match='missing keys licence'):
        ModelSpec.from_json(json.dumps(values))


def test_spec_refuses_impossible_motion():
    motion = graphs.spec().motion
    with pytest.raises(ModelError, match=r'motion.interval_s is -1'):
        dataclasses.replace(motion, interval_s=-1)


def test_spec_refuses_intrinsics_of_another_size():
    with pytest.raises(ModelError, match='intrinsics belong to 32 x 24'):
        graphs.spec(intrinsics=graphs.training_camera().scaled(32, 24))


def test_load(tmp_path):
    model = graphs.write_model(tmp_path / 'tiny')
    assert model.spec == graphs.spec()
    assert model.depth_path.is_file()
    assert model.pose_path is not None
    assert model.samples() == {}


def test_load_without_pose(tmp_path):
    model = graphs.write_model(tmp_path, graphs.spec(motion=None))
    assert model.pose_path is None


def test_load_by_name_prefers_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv('DEPTH_ROS_MODELS', str(tmp_path / 'own'))
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'share'))
    graphs.write_model(tmp_path / 'share/depth_ros/models/tiny')
    assert Model.load('tiny').path == tmp_path / 'share/depth_ros/models/tiny'
    graphs.write_model(tmp_path / 'own/tiny')
    assert Model.load('tiny').path == tmp_path / 'own/tiny'
    assert find_models()['tiny'] == tmp_path / 'own/tiny'


def test_unknown_name_lists_the_known(tmp_path, monkeypatch):
    monkeypatch.setenv('DEPTH_ROS_MODELS', str(tmp_path))
    graphs.write_model(tmp_path / 'tiny')
    with pytest.raises(ModelError, match=r"no model 'huge'.*tiny"):
        Model.load('huge')


@pytest.mark.parametrize('name', ['~nobody_of_that_name/model', 300 * 'x'])
def test_names_that_the_system_refuses_are_models_that_cannot_be_read(name):
    with pytest.raises(ModelError, match=f'cannot read model {name!r}'):
        Model.load(name)


@pytest.mark.parametrize('name', ['depth.onnx', 'SHA256SUMS'])
def test_a_file_of_somebody_elses_is_named(tmp_path, monkeypatch, name):
    graphs.write_model(tmp_path)
    write_checksums(tmp_path)
    open_file = Path.open

    def refuse(path, *arguments, **options):
        if path == tmp_path / name:
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(Path, 'open', refuse)  # root, as in a container, may read all
    with pytest.raises(ModelError, match=f'cannot read model .*Permission denied.*{name}'):
        Model.load(tmp_path)


def test_folder_without_graph(tmp_path):
    with pytest.raises(ModelError, match='no model folder'):
        Model.load(tmp_path)


def test_graph_without_spec(tmp_path):
    onnx.save(graphs.depth_graph(graphs.spec()), tmp_path / 'depth.onnx')
    with pytest.raises(ModelError, match='has no spec'):
        Model.load(tmp_path)


def test_pose_file_and_spec_must_agree(tmp_path):
    graphs.write_model(tmp_path)
    (tmp_path / 'pose.onnx').rename(tmp_path / 'pose')
    with pytest.raises(ModelError, match=r'lacks its pose\.onnx'):
        Model.load(tmp_path)
    graphs.write_model(tmp_path, graphs.spec(motion=None))
    (tmp_path / 'pose').rename(tmp_path / 'pose.onnx')
    with pytest.raises(ModelError, match=r'does not mention its pose\.onnx'):
        Model.load(tmp_path)


def test_checksums_find_a_flipped_bit(tmp_path):
    graphs.write_model(tmp_path)
    write_checksums(tmp_path)
    Model.load(tmp_path)
    content = bytearray((tmp_path / 'pose.onnx').read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'pose.onnx').write_bytes(content)
    with pytest.raises(ModelError, match=r'pose.onnx is damaged'):
        Model.load(tmp_path)
    (tmp_path / 'pose.onnx').unlink()
    with pytest.raises(ModelError, match=r'pose.onnx is missing'):
        Model.load(tmp_path)


def test_checksums_never_look_outside_the_folder(tmp_path):
    graphs.write_model(tmp_path)
    (tmp_path / 'SHA256SUMS').write_text('0' * 64 + '  ../other.onnx\n')
    with pytest.raises(ModelError, match='unreadable line'):
        Model.load(tmp_path)


def test_samples(tmp_path):
    model = graphs.write_model(tmp_path)
    image = np.zeros((2, graphs.HEIGHT, graphs.WIDTH, 3), np.uint8)
    np.savez(tmp_path / 'samples.npz', image=image)
    np.testing.assert_array_equal(model.samples()['image'], image)
    (tmp_path / 'samples.npz').write_bytes(b'PK nothing')
    with pytest.raises(ModelError, match='damaged'):
        model.samples()


def test_a_moved_folder_still_loads(tmp_path):
    graphs.write_model(tmp_path / 'a')
    write_checksums(tmp_path / 'a')
    shutil.move(tmp_path / 'a', tmp_path / 'b')
    assert Model.load(tmp_path / 'b').spec.name == 'tiny'


class TestWeightsBesideTheGraph:
    @pytest.fixture
    def model(self, tmp_path):
        """A flat depth map of 12 kB in depth.onnx.data."""
        spec = graphs.spec(motion=None)
        model = graphs.write_model(
            tmp_path / 'split', spec, graphs.flat_depth_graph(spec, np.full((48, 64), 2.0))
        )
        onnx.save(
            onnx.load(model.depth_path), model.depth_path, save_as_external_data=True,
            location='depth.onnx.data', size_threshold=1024,
        )  # fmt: skip
        assert model.depth_path.stat().st_size < 3000
        write_checksums(model.path)
        return model

    def test_load_as_one_model(self, model):
        loaded = Model.load(model.path)
        image = np.zeros((48, 64, 3), np.uint8)
        frame = Frame(0, image, graphs.training_camera())
        with closing(DepthPipeline.open(loaded)) as pipeline:
            np.testing.assert_array_equal(pipeline.run([frame])[0].depth, 2.0)

    @pytest.mark.parametrize('name', ['depth.onnx', 'depth.onnx.data'])
    def test_a_flipped_bit_in_either_file_is_found(self, model, name):
        data = bytearray((model.path / name).read_bytes())
        data[len(data) // 2] ^= 4
        (model.path / name).write_bytes(data)
        with pytest.raises(ModelError, match=f'{name} is damaged'):
            Model.load(model.path)

    def test_both_are_needed(self, model):
        (model.path / 'depth.onnx.data').unlink()
        with pytest.raises(ModelError, match=r'depth\.onnx\.data is missing'):
            Model.load(model.path)
        (model.path / 'SHA256SUMS').unlink()
        with pytest.raises(ModelError, match=r'depth\.onnx\.data is missing or lies elsewhere'):
            Model.load(model.path)

    def test_weights_without_a_checksum_are_not_trusted(self, model):
        (model.path / 'SHA256SUMS').unlink()
        with pytest.raises(ModelError, match=r'SHA256SUMS does not name depth\.onnx\.data'):
            Model.load(model.path)

    @pytest.mark.parametrize(
        'location', ['../depth.onnx.data', '/etc/passwd', 'sub/depth.onnx.data', 'other.data']
    )
    def test_paths_lead_nowhere_else(self, model, location):
        graph = onnx.load(model.depth_path, load_external_data=False)
        for tensor in graph.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == 'location':
                    entry.value = location
        model.depth_path.write_bytes(graph.SerializeToString())
        write_checksums(model.path)
        with pytest.raises(ModelError, match=r"allowed: 'depth\.onnx\.data' beside it") as caught:
            Model.load(model.path)
        assert repr(location) in str(caught.value)

    def test_links_lead_nowhere_else(self, model):
        data = model.path / 'depth.onnx.data'
        data.rename(model.path.parent / 'weights')
        data.symlink_to(model.path.parent / 'weights')
        with pytest.raises(ModelError, match='is missing or lies elsewhere'):
            Model.load(model.path)
