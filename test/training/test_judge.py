"""Reports at the end of a run: of the new model alone, or beside the one it started from."""

import json
from types import SimpleNamespace

import graphs
import numpy as np
import pytest
import recordings

from training.config import BagSource, BagTruth, DataConfig, TrainConfig
from training.judge import judge_model


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return recordings.write_recording(tmp_path_factory.mktemp('bags') / 'waves', 20)


class Cache:
    """Frames of a bag, of which the first is the bag's first."""

    def __init__(self, count=20):
        self.indices = np.arange(count)

    def __len__(self):
        return len(self.indices)


def judge(tmp_path, bag, model, before):
    config = TrainConfig(bags=(BagSource(bag),))
    data = SimpleNamespace(train=[SimpleNamespace(cache=Cache())])
    told = []
    judge_model(config, data, model.path, before, tmp_path / 'report', told.append)
    folder = tmp_path / 'report' / '0-waves'
    figures = json.loads((folder / 'metrics.json').read_text())
    return figures, (folder / 'index.html').read_text(), '\n'.join(told)


def write_model(folder, name, per_grey):
    spec = graphs.spec(name=name)
    return graphs.write_model(folder, spec, graphs.depth_graph(spec, per_grey))


def test_a_model_is_judged_on_the_frames_kept(tmp_path, bag):
    model = write_model(tmp_path / 'new', 'new', 0.02)
    figures, page, told = judge(tmp_path, bag, model, None)
    assert figures['frames'] == 2
    assert figures['depth'][0]['unscaled']['abs_rel'] < 1e-3
    assert 'new after' not in page
    assert 'last 2 frames kept' in told


def test_a_run_that_began_with_a_model_shows_what_changed(tmp_path, bag):
    old = write_model(tmp_path / 'old', 'old', 0.03)
    model = write_model(tmp_path / 'new', 'new', 0.02)
    figures, page, told = judge(tmp_path, bag, model, old.path)
    assert figures['depth'][0]['unscaled']['abs_rel'] < 1e-3
    assert 'old before, new after' in page
    assert 'as it comes 0.500 → 0.000 (100% lower)' in told


@pytest.mark.parametrize('name', ['nothing_there', 'new'])
def test_bare_weights_and_a_replaced_model_are_not_compared(tmp_path, bag, name):
    model = write_model(tmp_path / 'new', 'new', 0.02)
    _, page, _ = judge(tmp_path, bag, model, tmp_path / name)
    assert 'new after' not in page


def test_a_bag_that_is_too_short_to_keep_only_some_of_it_is_left_out(tmp_path, bag):
    model = write_model(tmp_path / 'new', 'new', 0.02)
    config = TrainConfig(bags=(BagSource(bag),) * 2, data=DataConfig(validation_share=0.6))
    data = SimpleNamespace(train=[SimpleNamespace(cache=Cache(n)) for n in (20, 1)])
    judge_model(config, data, model.path, None, tmp_path / 'report', lambda _: None)
    assert [path.name for path in (tmp_path / 'report').iterdir()] == ['0-waves']


@pytest.mark.parametrize('truth', [BagTruth.MEASURED_RELATIVE, BagTruth.RENDERED_RELATIVE])
def test_truth_up_to_scale_is_no_measure(tmp_path, bag, truth):
    model = write_model(tmp_path / 'new', 'new', 0.02)
    config = TrainConfig(bags=(BagSource(bag, truth=truth), BagSource(bag)))
    data = SimpleNamespace(train=[SimpleNamespace(cache=Cache())] * 2)
    told = []
    judge_model(config, data, model.path, None, tmp_path / 'report', told.append)
    assert [path.name for path in (tmp_path / 'report').iterdir()] == ['1-waves']
    assert told[0].startswith(f'not evaluated on {bag}: its truth is {truth.value}, known up to')
