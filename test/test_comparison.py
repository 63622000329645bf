"""Two models before and after: frames chosen, tables of differences, one page."""

import itertools
import json
import re

import graphs
import numpy as np
import pytest
import recordings

from depth_ros.bags import Selection
from depth_ros.cli.main import main
from depth_ros.evaluation.bag_pass import Answer, AnsweredFrame
from depth_ros.evaluation.chosen_frames import FrameChooser, Reason
from depth_ros.evaluation.comparison_pages import comparison_to_text, verdict
from depth_ros.evaluation.depth_scores import FrameScore, TrueFrame
from depth_ros.evaluation.evaluate import compare, evaluate
from depth_ros.evaluation.report import Tone
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.tables import CHANGE, Column, Table, confidence_change_table
from depth_ros.motion.egomotion import OdometrySettings
from depth_ros.pipeline import DepthPipeline, Frame


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return recordings.write_recording(tmp_path_factory.mktemp('bags') / 'waves')


@pytest.fixture(scope='module')
def flat(tmp_path_factory):
    """A model that says 3 m everywhere."""
    spec = graphs.spec(name='flat')
    graph = graphs.flat_depth_graph(spec, np.full((48, 64), 3.0))
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'flat', spec, graph,
                              motion=(0.0, 0.0, 0.0, 0.0, 0.0, 0.3))


@pytest.fixture(scope='module')
def exact(tmp_path_factory):
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'exact',
                              graphs.spec(name='exact'))


def request_of(bag, **changes):
    return EvaluationRequest(bag=bag, selection=Selection(),
                             odometry=OdometrySettings(refine=False), **changes)


def test_each_model_has_the_figures_that_it_has_alone(bag, flat, exact):
    request = request_of(bag)
    comparison = compare(request, DepthPipeline.open(flat), DepthPipeline.open(exact),
                         lambda done: None)
    for model, both in ((flat, comparison.before), (exact, comparison.after)):
        alone = evaluate(request, DepthPipeline.open(model), lambda done: None)
        assert both.depth == alone.depth
        assert both.motion == alone.motion


def test_verdict_says_what_changed(bag, flat, exact):
    comparison = compare(request_of(bag), DepthPipeline.open(flat), DepthPipeline.open(exact),
                         lambda done: None)
    text = verdict(comparison)
    before = comparison.before.depth[0].median_scaled.abs_rel
    constant = comparison.after.depth[1].median_scaled.abs_rel
    assert f'AbsRel after median scaling {before:.3f} → 0.000 (100% lower)' in text
    assert f'guess without a network has {constant:.3f}' in text
    assert 'boundary F1 0.0000 → 0.' in text
    # A flat model is as good as the flat guess.
    assert before == pytest.approx(constant, rel=1e-6)
    change = re.search(r'^change +(\S+)', comparison_to_text(comparison), re.M)
    assert float(change[1]) == pytest.approx(-before, abs=6e-4)


def test_each_model_is_shown_by_its_own_confidence(bag, flat, exact):
    comparison = compare(request_of(bag), DepthPipeline.open(flat), DepthPipeline.open(exact),
                         lambda done: None)
    curves = (comparison.before.confidence, comparison.after.confidence)
    table = confidence_change_table(*curves)
    errors = np.array([row[1:] for row in table.rows[:5]], float)
    for column, (curve, field) in enumerate(
        itertools.product(curves, ('median_scaled_abs_rel', 'unscaled_abs_rel'))
    ):
        expected = [getattr(band, field) for band in curve.fifths]
        np.testing.assert_allclose(errors[:, (0, 2, 1, 3)[column]], expected, atol=5.1e-4)
    assert errors[:, 0].max() > 0.1
    assert f'\n{table.rows[4][0]}' in comparison_to_text(comparison)


def test_changes_have_a_sign_and_a_tone():
    table = Table((Column('AbsRel'), Column('d1', better=1), Column('ratio', better=0),
                   Column('RMSE'), Column('none')))
    table.add_change((0.2, 0.5, 1.0, 1.0, None), (0.1, 0.4, 3.0, 0.9999, 2.0))
    assert table.rows == [(CHANGE, '-0.100', '-0.100', '+2.000', '+0.000', '–')]
    assert [table.tones[0, column] for column in range(1, 6)] == [
        Tone.GOOD, Tone.BAD, Tone.PLAIN, Tone.PLAIN, Tone.PLAIN]
    assert '<td class="good">-0.100</td><td class="bad">-0.100</td>' in table.to_html()


def answered(index, before, after):
    frame = Frame(index, np.zeros((4, 6, 3), np.uint8), graphs.training_camera())
    depth_m = np.full((4, 6), 1.0 + index, np.float32)
    truth = TrueFrame(index, depth_m, np.ones((4, 6), bool))
    return AnsweredFrame(frame, truth, tuple(
        Answer(depth_m, FrameScore(index, 1.0, abs_rel, abs_rel)) for abs_rel in (before, after)))


@pytest.mark.parametrize('seed', range(5))
def test_chosen_frames_are_those_of_a_full_sort(seed):
    errors = np.random.default_rng(seed).uniform(0.0, 1.0, (40, 2))
    chooser = FrameChooser(6)
    for index, (before, after) in enumerate(errors):
        chooser.offer(answered(index, before, after))
    chosen = {reason: {frame.index for frame in chooser.chosen() if reason in frame.reasons}
              for reason in Reason}
    gain = errors[:, 0] - errors[:, 1]
    assert chosen == {Reason.WORST: set(np.argsort(-errors[:, 1])[:2].tolist()),
                      Reason.IMPROVED: set(np.argsort(-gain)[:2].tolist()),
                      Reason.WORSENED: set(np.argsort(gain)[:2].tolist())}
    indices = [frame.index for frame in chooser.chosen()]
    assert len(indices) == len(set(indices))


def test_frames_without_a_change_are_neither_better_nor_worse():
    chooser = FrameChooser(6)
    chooser.offer(answered(0, 0.3, 0.3))
    assert [frame.reasons for frame in chooser.chosen()] == [(Reason.WORST,)]


def test_command_writes_one_page_with_everything(tmp_path, capsys, bag, flat, exact):
    out = tmp_path / 'report'
    assert main(['evaluate', '--bag', str(bag), '--model', str(exact.path), '--compare',
                 str(flat.path), '--network-motion', '--first', '4', '--out', str(out),
                 '--json']) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures['before']['spec']['name'] == 'flat'
    assert figures['after']['depth'][0]['median_scaled']['abs_rel'] < 1e-3
    assert sorted(file.name for file in out.iterdir()) == ['index.html', 'metrics.json']
    page = (out / 'index.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    for title in ('Depth', 'Scale', 'Boundaries', 'Confidence', 'Egomotion', 'Frames'):
        assert f'<h2>{title}</h2>' in page
    for text in ('image-blind mean', 'last training frame held', 'worst after',
                 'before, SE(3) aligned', 'factor / its median', 'AbsRel, median-scaled',
                 'straight ahead', '<td class="good">'):
        assert text in page
    # Errors per frame, factors per frame, errors by confidence, paths.
    assert page.count('<svg') == 4
    rows = re.findall(r'<div class="row columns.*?</div>', page, re.S)
    assert [row.count('<img') for row in rows] == [4] * len(rows)
    assert len(rows) == 2 * page.count('<h3>Frame ')
