"""Evaluation against foreground masks, of tiny models on boxes whose outlines are known."""

import json
import re

import cv2
import graphs
import numpy as np
import pytest
import recordings
from recordings import HEIGHT, WIDTH, stamp_of

from depth_ros.bags import Selection
from depth_ros.cli.main import main
from depth_ros.errors import BagError
from depth_ros.evaluation.boundaries import mask_recall
from depth_ros.evaluation.depth_scores import resized_depth
from depth_ros.evaluation.evaluate import evaluate
from depth_ros.evaluation.mask_scores import MaskScores
from depth_ros.evaluation.pages import to_text
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.messages import bag_messages
from depth_ros.motion.egomotion import OdometrySettings
from depth_ros.pipeline import DepthPipeline

FRAMES = 4
MS = 1_000_000
ALL = Selection()


@pytest.fixture(autouse=True)
def boxes(monkeypatch):
    """A near box before a far wall, as pictures and as true depth."""
    monkeypatch.setattr(recordings, 'grey_image', recordings.box_image)


@pytest.fixture(scope='module')
def sharp(tmp_path_factory):
    """A model that tells the truth."""
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'sharp')


@pytest.fixture(scope='module')
def soft(tmp_path_factory):
    spec = graphs.spec(name='soft')
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'soft', spec,
                              graphs.blurred(graphs.depth_graph(spec)))


def box(index):
    """bool [H,W]: where the box is."""
    return recordings.box_image(index) < 128


def grey_mask(index):
    return np.where(box(index), 255, 0).astype(np.uint8)


def raw(index, late_ns=0):
    return bag_messages.image(stamp_of(index) + late_ns, 'camera', grey_mask(index), 'mono8')


def png(index):
    message = bag_messages.compressed_image(stamp_of(index), 'camera',
                                            np.zeros((1, 1, 3), np.uint8))
    message.format = 'mono8; png compressed '
    message.data = cv2.imencode('.png', grey_mask(index))[1].ravel()
    return message


def record(path, masks, **truth):
    return recordings.write_recording(path, FRAMES, masks=masks,
                                      **{'depth': False, 'odometry': False, **truth})


def run(model, bag, selection=ALL, **changes):
    request = EvaluationRequest(bag, selection, mask_topic='/masks',
                                odometry=OdometrySettings(refine=False), **changes)
    return evaluate(request, DepthPipeline.open(model), lambda done: None)


@pytest.mark.parametrize('message', [raw, png])
def test_masks_alone_are_enough(tmp_path, sharp, soft, message):
    bag = record(tmp_path / 'bag', message)
    evaluation = run(sharp, bag)
    assert evaluation.masks == MaskScores(FRAMES, pytest.approx(1.0))
    assert evaluation.mask_topic == '/masks'
    assert (evaluation.depth, evaluation.motion, evaluation.remarks) == ((), None, ())
    assert 0.0 <= run(soft, bag).masks.recall < 0.9
    assert run(sharp, bag, Selection(1, 3)).masks.images == 2


def test_recall_is_the_mean_of_direct_calls_on_masks_of_another_size(tmp_path, sharp):
    """Soft mattes a pixel too far to the right, of which one is empty and one is missing."""
    def matte(index):
        large = cv2.resize(box(index).astype(np.float32), (2 * WIDTH, 2 * HEIGHT))
        soft = np.roll(np.maximum(large - 0.3, 0.0), 1, axis=1)
        return np.rint(65535 * soft * (index != 1)).astype(np.uint16)

    def message(index):
        if index == 2:
            return None
        return bag_messages.image(stamp_of(index), 'camera', matte(index), 'mono16')

    scores = run(sharp, record(tmp_path / 'bag', message)).masks
    expected = [mask_recall(resized_depth(recordings.true_depth(index), 2 * HEIGHT, 2 * WIDTH),
                            matte(index) / 65535) for index in (0, 3)]
    assert 0.0 < expected[0] < 1.0
    assert scores == MaskScores(2, pytest.approx(np.mean(expected), abs=1e-6))


def test_masks_pair_with_frames_by_their_stamps(tmp_path, sharp):
    late_ns = (0, 19 * MS, 21 * MS, -19 * MS)
    bag = record(tmp_path / 'bag', lambda index: raw(index, late_ns=late_ns[index]))
    assert run(sharp, bag).masks == MaskScores(3, pytest.approx(1.0))
    other_times = record(tmp_path / 'late', lambda index: raw(index, late_ns=50 * MS))
    evaluation = run(sharp, other_times)
    assert evaluation.masks is None
    assert 'No frame has a mask of /masks close enough in time.' in to_text(evaluation)


def test_masks_without_an_outline_are_told_of(tmp_path, sharp):
    """Such as labels of 0 and 1, which are next to black."""
    def labels(index):
        return bag_messages.image(stamp_of(index), 'camera', box(index).astype(np.uint8), 'mono8')

    evaluation = run(sharp, record(tmp_path / 'bag', labels))
    assert evaluation.masks is None
    assert re.search('No mask of /masks has an outline.* above 10% of the largest value',
                     to_text(evaluation))


def test_depth_is_judged_as_without_masks(tmp_path, sharp):
    bag = record(tmp_path / 'bag', raw, depth=True)
    other = recordings.write_recording(tmp_path / 'other', 2, odometry=False)
    both = run(sharp, bag, training_bags=(other,))
    alone = evaluate(EvaluationRequest(bag, ALL, training_bags=(other,)),
                     DepthPipeline.open(sharp), lambda done: None)
    assert both.masks == MaskScores(FRAMES, pytest.approx(1.0))
    assert (alone.masks, alone.mask_topic) == (None, '')
    assert both.depth == alone.depth


def test_command_shows_recall_of_one_model_and_of_two(tmp_path, capsys, sharp, soft):
    bag = record(tmp_path / 'bag', raw)
    command = ['evaluate', '--bag', str(bag), '--model', str(sharp.path), '--masks', 'masks']
    out = tmp_path / 'report'
    assert main([*command, '--out', str(out)]) == 0
    assert re.search(r'masks with an outline +mask recall\nmodel +4 +1\.0000',
                     capsys.readouterr().out)
    figures = json.loads((out / 'metrics.json').read_text())
    assert figures['masks'] == {'images': FRAMES, 'recall': pytest.approx(1.0)}
    assert figures['mask_topic'] == '/masks'
    page = (out / 'index.html').read_text()
    assert '<h2>Foreground masks</h2>' in page
    assert 'Masks from /masks. Mask recall' in page

    assert main([*command, '--compare', str(soft.path), '--out', str(out)]) == 0
    text = capsys.readouterr().out
    change = re.search(r'^Mask recall 0\.\d{4} → 1\.0000( \(\d+% higher\))?\.$', text, re.M)
    assert change
    assert re.search(r'\nbefore +4 +0\.\d{4}\nafter +4 +1\.0000\nchange +\+0 +\+\d\.\d{4}', text)
    figures = json.loads((out / 'metrics.json').read_text())
    assert figures['before']['masks']['recall'] < figures['after']['masks']['recall']
    page = (out / 'index.html').read_text()
    assert change[0] in page
    assert '<h2>Foreground masks</h2>' in page


def refusal(capsys, *arguments):
    assert main(['evaluate', *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith('depth_ros evaluate: error: ')
    assert error.count('\n') == 1
    return error


def test_topics_and_encodings_that_are_no_masks_are_refused_in_one_line(tmp_path, capsys, sharp):
    bag = record(tmp_path / 'bag', raw)
    command = ['--bag', bag, '--model', sharp.path]
    assert 'has no mask topic /alpha; it has: ' in refusal(capsys, *command, '--masks', '/alpha')
    error = refusal(capsys, *command, '--masks', '/image')
    assert f"/image of bag {bag}: mask encoding 'rgb8' is not supported (supported: mono8" in error
    assert 'has no mask topic camera_info' in refusal(capsys, *command, '--masks', 'camera_info')


def test_a_bag_of_masks_that_nobody_named_has_nothing_to_compare_with(tmp_path, sharp):
    bag = record(tmp_path / 'bag', raw)
    with pytest.raises(BagError, match='foreground masks with --masks'):
        evaluate(EvaluationRequest(bag, ALL), DepthPipeline.open(sharp), lambda done: None)
