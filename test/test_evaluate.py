"""Evaluation of tiny models with known errors on recordings with known truth."""

import json
import re

import graphs
import numpy as np
import pytest
import recordings
from helpers import shared_bag

from depth_ros.bags import BagReader, Selection
from depth_ros.cli.main import main
from depth_ros.errors import BagError, CameraError, ConfigError
from depth_ros.evaluation.bag_pass import BagPass
from depth_ros.evaluation.depth_scores import BoundaryScores
from depth_ros.evaluation.evaluate import evaluate
from depth_ros.evaluation.pages import to_text
from depth_ros.evaluation.registration import Picture, registration_caveat
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.samples import EvenSamples
from depth_ros.evaluation.truth import NearestInTime, find_topics, true_depths
from depth_ros.messages import bag_messages
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.motion.egomotion import OdometrySettings
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return recordings.write_recording(tmp_path_factory.mktemp('bags') / 'waves')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'tiny')


ALL = Selection()


def run(model: Model, bag, selection=ALL, **changes):
    pipeline = DepthPipeline.open(model)
    request = EvaluationRequest(
        bag=bag, selection=selection, odometry=OdometrySettings(refine=False), **changes)
    return evaluate(request, pipeline, lambda done: None)


def test_a_model_that_tells_the_truth_has_no_error(model, bag):
    evaluation = run(model, bag)
    scores = evaluation.depth[0]
    assert (scores.name, scores.images, scores.coverage) == ('model', 12, 1.0)
    assert scores.unscaled.abs_rel < 1e-3
    assert scores.unscaled.d1 == 1.0
    motion = evaluation.motion.model
    assert [position.rmse for position in motion.positions] == pytest.approx([0, 0, 0], abs=1e-5)
    assert motion.pair.translation_rmse == pytest.approx(0.0, abs=1e-5)
    assert motion.direction_median_deg == pytest.approx(0.0, abs=1e-3)
    assert evaluation.motion.path_m == pytest.approx(1.1)
    assert evaluation.frames == 12


def test_a_pause_of_the_recording_is_no_error_of_the_model(tmp_path, model):
    bag = recordings.rewrite(
        tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 30),
        lambda topic, index, message:
            None if topic == '/image' and 8 <= index < 16 else message)
    evaluation = run(model, bag)
    assert evaluation.frames == 22
    assert evaluation.motion.frames == 14  # those after the pause
    positions = evaluation.motion.model.positions
    assert [position.rmse for position in positions] == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_path_recorded_at_other_times_is_no_error_of_the_model(tmp_path, model):
    def truth(index):
        late_ns = 15_000_000 if index % 2 else -15_000_000
        stamp = recordings.stamp_of(index) + late_ns
        pose = recordings.forward_pose(index + late_ns / recordings.PERIOD_NS)
        return '/truth', stamp, bag_messages.odometry(stamp, 'world', 'camera', pose)

    first = recordings.write_recording(tmp_path / 'first', 12, odometry=False)
    bag = recordings.rewrite(tmp_path / 'bag', first, odometry=map(truth, range(12)))
    evaluation = run(model, bag)
    assert evaluation.motion.frames == 12
    assert evaluation.motion.model.pair.translation_rmse == pytest.approx(0.0, abs=1e-5)


def test_images_whose_stamps_repeat_are_one_pose(tmp_path, model):
    def three_of_a_time(topic, index, message):
        if topic == '/image':
            stamp = recordings.stamp_of(index - index % 3)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        return message

    bag = recordings.rewrite(
        tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 30), three_of_a_time)
    evaluation = run(model, bag)
    assert (evaluation.frames, evaluation.motion.frames) == (30, 10)


def test_a_stretch_is_as_long_as_it_has_poses(tmp_path, model):
    """A driver stamps images alike until its clock is set."""
    def stopped(topic, index, message):
        if topic == '/image' and index < 20:
            stamp = recordings.stamp_of(0)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        return message

    bag = recordings.rewrite(
        tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 32), stopped)
    assert run(model, bag).motion.frames == 12


def test_a_hole_in_the_true_path_is_no_motion_of_one_step(tmp_path, model):
    bag = recordings.rewrite(
        tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 30),
        lambda topic, index, message:
            None if topic == '/truth' and 10 <= index < 20 else message)
    motion = run(model, bag).motion
    assert motion.frames == 20
    still, _, repeated = motion.guesses
    assert still.pair.translation_rmse == pytest.approx(0.1 * motion.pairing.step)
    assert still.pair.pairs == 20 - 2 * motion.pairing.step
    assert repeated.pair.translation_rmse == pytest.approx(0.0, abs=1e-9)


def test_a_true_path_that_is_not_compared_is_told_of_with_the_reason(tmp_path, model, bag):
    def fifty_milliseconds_late(topic, index, message):
        if topic == '/truth':
            stamp = recordings.stamp_of(index) + 50_000_000
            return bag_messages.odometry(stamp, 'world', 'camera', recordings.forward_pose(index))
        return message

    late = recordings.rewrite(tmp_path / 'late', bag, fifty_milliseconds_late)
    still = graphs.write_model(tmp_path / 'still', graphs.spec(motion=None))
    heights = ScaleSettings(ScaleSource.CAMERA_HEIGHT)
    for evaluation, why in (
        (run(still, bag), 'the model has no pose network'),
        (run(model, late),
         '0 of the 12 frames without a reset or gap between them have a true pose within 20 ms'),
        (run(model, bag, scale=heights), 'no frame has a place; metres: '),
    ):
        assert evaluation.motion is None
        told = f'No motion is compared with /truth: {why}'
        assert [told in remark for remark in evaluation.remarks].count(True) == 1
    assert 'No motion is compared' not in to_text(run(model, bag))


def test_a_true_path_of_a_body_whose_place_is_not_known_is_told_of(tmp_path, model):
    def of_the_body(topic, index, message):
        if topic != '/truth':
            return message
        return bag_messages.odometry(
            recordings.stamp_of(index), 'odom', 'base_link', np.eye(4))

    first = recordings.write_recording(tmp_path / 'first', 12)
    bag = recordings.rewrite(tmp_path / 'bag', first, of_the_body)
    told = ("True path: odometry tells the pose of 'base_link', which /tf_static does not connect "
            "with 'camera'")
    assert told in to_text(run(model, bag))
    assert 'True path' not in to_text(run(model, first))


def test_no_image_after_the_selected_ones_is_looked_at(monkeypatch, bag):
    request = EvaluationRequest(bag, Selection(2, 5))
    topics = find_topics(request)
    images, messages = [], BagReader.messages

    def watched(reader, names):
        for message in messages(reader, names):
            images.extend(name for name in names if name == '/image')
            yield message

    monkeypatch.setattr(BagReader, 'messages', watched)
    truths = list(true_depths(request, topics, request.selection))
    assert [stamp for stamp, _ in truths] == [recordings.stamp_of(index) for index in (2, 3, 4)]
    assert len(images) == 6  # one after them tells that they are over


def test_a_wrong_unit_shows_without_scaling_and_not_with_it(tmp_path, bag):
    spec = graphs.spec()
    model = graphs.write_model(tmp_path / 'double', spec, graphs.depth_graph(spec, 0.04),
                               motion=(0.0, 0.0, 0.0, 0.0, 0.0, 0.2))
    evaluation = run(model, bag)
    scores = evaluation.depth[0]
    assert scores.unscaled.abs_rel == pytest.approx(1.0, abs=1e-3)
    assert scores.median_scaled.abs_rel < 1e-3
    assert scores.stability.median_ratio == pytest.approx(0.5, abs=1e-3)
    assert scores.stability.relative_std < 1e-3
    se3, scale, sim3 = evaluation.motion.model.positions
    assert se3.rmse > 0.1
    assert (scale.scale, sim3.scale) == pytest.approx((0.5, 0.5), abs=1e-4)
    assert scale.rmse == pytest.approx(0.0, abs=1e-5)
    length = evaluation.motion.model.length
    assert (length.median_ratio, length.relative_std) == pytest.approx((0.5, 0), abs=1e-4)
    assert evaluation.motion.guesses[0].length is None
    row = next(line for line in to_text(evaluation).splitlines() if 'translations' in line)
    assert '0.500' in row


def test_a_model_without_unit_is_judged_without_rigid_alignment(tmp_path, bag):
    model = graphs.write_model(tmp_path / 'relative', graphs.spec(scale=ScaleKind.UP_TO_SCALE))
    evaluation = run(model, bag)
    kinds = [position.alignment.value for position in evaluation.motion.model.positions]
    assert kinds == ['scale', 'Sim(3)']
    assert evaluation.paths.alignment.value == 'Sim(3)'


def test_the_border_that_rectifying_leaves_is_not_taken_for_plain(tmp_path, model):
    def distorted(topic, index, message):
        if topic == '/camera_info':
            message.distortion_model, message.d = 'plumb_bob', np.array([0.6, 0, 0, 0, 0.0])
        return message

    first = recordings.write_recording(tmp_path / 'first', 3)
    bag = recordings.rewrite(tmp_path / 'bag', first, distorted)
    frames = BagPass(EvaluationRequest(bag, ALL), [DepthPipeline.open(model)]).frames()
    for answered in frames:
        plain, seen = answered.truth.plain, answered.frame.seen
        assert not seen.all()
        assert plain.any()
        assert not plain[~seen].any()


def test_depth_that_may_not_be_registered_is_told_of(tmp_path, model, bag):
    def of_a_depth_camera(topic, index, message):
        if topic == '/camera_info':
            message.distortion_model, message.d = 'plumb_bob', np.array([0.1, 0, 0, 0, 0.0])
        if topic == '/depth/image':
            cropped = np.ascontiguousarray(recordings.true_depth(index)[4:40])
            return bag_messages.image(recordings.stamp_of(index), 'infrared', cropped, '32FC1')
        return message

    first = recordings.write_recording(tmp_path / 'first', 3)
    evaluation = run(model, recordings.rewrite(tmp_path / 'bag', first, of_a_depth_camera))
    assert evaluation.depth[0].images == 3
    assert ("Depth of /depth/image is assumed to be registered to /image, pixel by pixel as the "
            "model sees it, but its frame is 'infrared' and that of the image 'camera', it is "
            '64x36 and the image 64x48, the image is rectified here and depth taken as it is'
            ) in to_text(evaluation)
    assert 'registered' not in to_text(run(model, bag))


IMAGE = Picture('/image', 'camera', 641, 481)


@pytest.mark.parametrize(('depth', 'rectified', 'told'), [
    (Picture('/depth', '/camera', 641, 481), False, ''),
    (Picture('/depth', '', 320, 240), False, ''),
    (Picture('/depth', 'camera', 1282, 962), False, ''),
    (Picture('/depth/image_rect', 'camera', 641, 481), True, ''),
    (Picture('/depth', 'infrared', 641, 481), False, "frame is 'infrared'"),
    (Picture('/depth', 'camera', 424, 240), False, '424x240 and the image 641x481'),
    (Picture('/depth', 'camera', 641, 481), True, 'rectified here'),
])
def test_each_sign_of_unregistered_depth_is_told(depth, rectified, told):
    caveat = registration_caveat(depth, IMAGE, rectified=rectified)
    assert told in caveat
    assert bool(caveat) is bool(told)


def test_guesses_are_made_from_the_training_frames_alone(model, bag):
    evaluation = run(model, bag, Selection(8), training=Selection(0, 8))
    names = [scores.name for scores in evaluation.depth]
    assert names == ['model', 'constant', 'image-blind mean', 'last training frame held']
    mean = np.mean([recordings.true_depth(index) for index in range(8)], axis=0)
    expected = np.mean([np.mean(np.abs(mean - truth) / truth)
                        for truth in map(recordings.true_depth, range(8, 12))])
    assert evaluation.depth[2].unscaled.abs_rel == pytest.approx(expected, rel=1e-4)
    held = recordings.true_depth(7)
    expected = np.mean([np.mean(np.abs(held - truth) / truth)
                        for truth in map(recordings.true_depth, range(8, 12))])
    assert evaluation.depth[3].unscaled.abs_rel == pytest.approx(expected, rel=1e-4)
    assert evaluation.depth[1].unscaled is None


@pytest.mark.parametrize(('judged', 'training', 'told'), [
    (Selection(8), Selection(2), r'frames 8 to the end, .* know frames 2 to the end: no frame'),
    (Selection(), Selection(0, 9), r'frames 0 to the end, .* know frames 0 to 9 \(exclusive\)'),
    (Selection(4, 8), Selection(7, 8), r'frames 4 to 8 \(exclusive\), .* know frames 7 to 8'),
    (Selection(from_s=1.0), Selection(to_s=1.2),
     r'from 1 s to the end, .* from 0 s to 1\.2 s \(exclusive\)'),
    # Frame 5 is at 1 s, which only the bag tells.
    (Selection(from_s=1.0), Selection(2, 6), r'from 1 s to the end, .* know frames 2 to 6'),
])
def test_guesses_that_know_judged_frames_are_refused(model, bag, judged, training, told):
    with pytest.raises(ConfigError, match=told):
        run(model, bag, judged, training=training)


@pytest.mark.parametrize(('judged', 'training'), [
    (Selection(8), Selection(2, 8)),
    (Selection(0, 3), Selection(3)),
    (Selection(from_s=1.0), Selection(2, 5)),
    (Selection(from_s=1.0), Selection(2, None, None, 1.0)),
])
def test_guesses_may_know_all_other_frames(model, bag, judged, training):
    names = [scores.name for scores in run(model, bag, judged, training=training).depth]
    assert 'last training frame held' in names


@pytest.mark.parametrize('judged', [['--first', '8'], ['--from', '1.6']])
def test_training_frames_end_before_the_judged_ones(capsys, model, bag, judged):
    command = ['evaluate', '--bag', str(bag), '--model', str(model.path), *judged, '--json']
    figures = []
    for named in (['--train-first', '2'], ['--train-first', '2', '--train-last', '8']):
        assert main([*command, *named]) == 0
        figures.append(json.loads(capsys.readouterr().out)['depth'])
    assert figures[0][1:] == figures[1][1:]
    assert figures[0][3]['name'] == 'last training frame held'
    assert main([*command, '--train-first', '2', '--train-last', '9']) == 2
    assert 'the guesses know frames 2 to 9 (exclusive): no frame' in capsys.readouterr().err


def test_training_frames_after_the_judged_ones_go_to_the_end(capsys, model, bag):
    command = ['evaluate', '--bag', str(bag), '--model', str(model.path), '--last', '4', '--json']
    figures = []
    for named in (['--train-first', '6'], ['--train-first', '6', '--train-last', '12']):
        assert main([*command, *named]) == 0
        figures.append(json.loads(capsys.readouterr().out)['depth'])
    assert figures[0][1:] == figures[1][1:]
    assert main([*command, '--train-first', '3']) == 2
    assert 'judged are frames 0 to 4 (exclusive)' in capsys.readouterr().err


def test_guesses_can_know_other_bags(tmp_path, model, bag):
    other = recordings.write_recording(tmp_path / 'other', 8)
    by_other = run(model, bag, Selection(8), training_bags=(other,))
    by_same = run(model, bag, Selection(8), training=Selection(0, 8))
    assert by_other.depth[2:] == by_same.depth[2:]
    assert 'of 1 of 1 other bags' in to_text(by_other)
    both = run(model, bag, Selection(8), training=Selection(0, 8), training_bags=(other,))
    assert both.depth[3] == by_same.depth[3]
    with pytest.raises(ConfigError, match='cannot be a training bag'):
        run(model, bag, training_bags=(other, bag))
    empty = recordings.write_recording(tmp_path / 'empty', 2, depth=False)
    without = run(model, bag, Selection(8), training_bags=(empty,))
    assert len(without.depth) == 2
    assert 'of 0 of 1 other bags' in to_text(without)


def test_constant_guess_equals_the_naive_figure(model, bag):
    constant = run(model, bag).depth[1].median_scaled
    truths = [recordings.true_depth(index) for index in range(12)]
    expected = np.mean([np.mean(np.abs(truth - np.median(truth)) / truth) for truth in truths])
    assert constant.abs_rel == pytest.approx(expected, rel=1e-4)


def test_straight_ahead_is_right_on_a_straight_path(model, bag):
    guesses = {scores.name: scores for scores in run(model, bag).motion.guesses}
    assert guesses['straight ahead'].positions[0].rmse == pytest.approx(0.0, abs=1e-9)
    assert guesses['no motion'].direction_median_deg == pytest.approx(90.0)
    assert guesses['no motion'].pair.translation_rmse == pytest.approx(0.1)
    assert guesses['previous true motion'].pair.translation_rmse == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(('depth', 'odometry'), [(True, False), (False, True)])
def test_one_kind_of_truth_is_enough(tmp_path, model, depth, odometry):
    bag = recordings.write_recording(tmp_path / 'bag', 4, depth=depth, odometry=odometry)
    evaluation = run(model, bag)
    assert bool(evaluation.depth) is depth
    assert (evaluation.motion is not None) is odometry


def test_a_bag_without_truth_is_refused(tmp_path, model):
    bag = recordings.write_recording(tmp_path / 'bag', 2, depth=False, odometry=False)
    with pytest.raises(BagError, match='neither depth images nor a LiDAR nor odometry'):
        run(model, bag)


def test_an_empty_selection_is_refused(model, bag):
    with pytest.raises(BagError, match='no frame of /image is selected'):
        run(model, bag, Selection(500))


def test_known_guesses_on_kitchen(model):
    """Figures published with the bags: AbsRel and d1, median-scaled, on the last 70 frames."""
    evaluation = run(model, shared_bag('kitchen'), Selection(280), training=Selection(0, 280))
    figures = {scores.name: (scores.median_scaled.abs_rel, scores.median_scaled.d1)
               for scores in evaluation.depth}
    assert evaluation.frames == 70
    assert figures['constant'] == pytest.approx((0.337, 0.526), abs=5e-4)
    assert figures['image-blind mean'] == pytest.approx((0.203, 0.605), abs=5e-4)
    assert figures['last training frame held'] == pytest.approx((0.178, 0.715), abs=5e-4)


def test_known_guess_on_road(model):
    """Driving straight ahead at constant speed has an ATE of 1.5 % of the path after scaling."""
    motion = run(model, shared_bag('road')).motion
    guesses = {scores.name: scores for scores in motion.guesses}
    assert motion.path_m == pytest.approx(59.86, abs=0.01)
    assert guesses['straight ahead'].positions[0].path_share == pytest.approx(0.0155, abs=1e-4)


@pytest.mark.parametrize('seed', range(5))
def test_pairing_equals_exhaustive_search(seed):
    rng = np.random.default_rng(seed)
    stamps = np.unique(rng.integers(0, 2000, 40)).tolist()
    truths = [(int(stamp), np.array(stamp)) for stamp in np.unique(rng.integers(0, 2000, 30))]
    nearest = NearestInTime(truths, tolerance_ns=25)
    for frame_ns in stamps:
        truth = nearest.to(frame_ns)
        distances = [abs(stamp - frame_ns) for stamp, _ in truths]
        if min(distances) > 25:
            assert truth is None
        else:
            assert abs(int(truth) - frame_ns) == min(distances)


@pytest.mark.parametrize(('limit', 'frames'), [(1, 9), (3, 2), (4, 4), (4, 50), (6, 1000)])
def test_samples_are_even_and_few(limit, frames):
    samples = EvenSamples(limit)
    depth = np.ones((4, 6), np.float32)
    for _ in range(frames):
        samples.offer(np.zeros((4, 6, 3), np.uint8), depth, None)
    indices = [sample.index for sample in samples.kept()]
    assert min(frames, (limit + 1) // 2) <= len(indices) <= limit
    assert len(set(np.diff(indices).tolist())) <= 1


def test_command_writes_figures_and_a_page(tmp_path, capsys, model, bag):
    out = tmp_path / 'report'
    assert main(['evaluate', '--bag', str(bag), '--model', str(model.path), '--first', '6',
                 '--out', str(out), '--json']) == 0
    figures = json.loads((out / 'metrics.json').read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert figures['frames'] == 6
    assert [scores['name'] for scores in figures['depth']] == [
        'model', 'constant', 'image-blind mean', 'last training frame held']
    page = (out / 'index.html').read_text()
    assert page.count('<img') == 4 * len(re.findall('frame [0-9]+: input"', page)) > 0
    assert '<svg' in page
    assert '<h2>Boundaries</h2>' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert sorted(file.name for file in out.iterdir()) == ['index.html', 'metrics.json']


def test_figures_that_cannot_be_written_are_printed(tmp_path, capsys, model, bag):
    (tmp_path / 'report').write_text('in the way')
    assert main(['evaluate', '--bag', str(bag), '--model', str(model.path), '--last', '2',
                 '--out', str(tmp_path / 'report'), '--json']) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)['frames'] == 2
    assert 'report' in err.splitlines()[-1]


def test_blur_costs_boundaries(tmp_path, capsys, monkeypatch, model):
    monkeypatch.setattr(recordings, 'grey_image', recordings.box_image)
    bag = recordings.write_recording(tmp_path / 'boxes', 6, odometry=False)
    spec = graphs.spec(name='soft')
    soft = graphs.write_model(tmp_path / 'soft', spec, graphs.blurred(graphs.depth_graph(spec)))
    chosen = {'selection': Selection(3), 'training': Selection(0, 3)}
    sharp, blunt = (run(any_model, bag, **chosen) for any_model in (model, soft))
    assert sharp.depth[0].boundaries == BoundaryScores(3, *[pytest.approx(1.0)] * 3)
    assert 0.0 < blunt.depth[0].boundaries.f1 < 0.5
    assert blunt.depth[0].boundaries.recall < 1.0
    assert blunt.depth[1].boundaries == BoundaryScores(3, 0.0, 0.0, 0.0)
    assert blunt.depth[1:] == sharp.depth[1:]
    # The box has moved on since the training frame that is held.
    assert 0.0 < blunt.depth[3].boundaries.f1 < 1.0

    command = ['evaluate', '--bag', str(bag), '--model', str(model.path), '--first', '3']
    assert main(command) == 0
    text = capsys.readouterr().out
    assert re.search(r'images with contours +boundary F1 +precision +recall\n'
                     r'model +3 +1\.0000 +1\.0000 +1\.0000\nconstant +3 +0\.0000', text)
    out = tmp_path / 'report'
    assert main([*command, '--compare', str(soft.path), '--out', str(out), '--json']) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures['after']['depth'][0]['boundaries'] == {
        'images': 3, 'f1': pytest.approx(1.0), 'precision': pytest.approx(1.0),
        'recall': pytest.approx(1.0)}
    assert figures['before']['depth'][0]['boundaries']['f1'] < 0.5
    page = (out / 'index.html').read_text()
    assert '<h2>Boundaries</h2>' in page
    assert re.search(r'boundary F1 0\.[0-4]\d{3} → 1\.0000', page)


def test_command_prints_tables(capsys, model, bag):
    assert main(['evaluate', '--bag', str(bag), '--model', str(model.path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r'model, median-scaled +0\.000', text)
    assert re.search(r'straight ahead +– +0\.000', text)


def test_command_refuses_in_one_line(tmp_path, capsys, model):
    assert main(['evaluate', '--bag', str(tmp_path / 'none'), '--model', str(model.path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith('depth_ros evaluate: error: ')
    assert error.count('\n') == 1


def test_uncalibrated_cameras_need_leave_and_the_report_says_so(tmp_path):
    bare = recordings.write_recording(tmp_path / 'bare', 4, odometry=False, calibrated=False)
    spec = graphs.spec(motion=None, name='seeing')
    model = graphs.write_model(tmp_path / 'seeing', spec, graphs.canonical_graph(spec, 0.5))
    with pytest.raises(CameraError, match='is not calibrated'):
        run(model, bare)
    evaluation = run(model, bare, allow_estimated_focal=True)
    assert evaluation.frames == 4
    assert evaluation.depth[0].median_scaled.abs_rel < 1e-3
    remark = next(one for one in evaluation.remarks if 'focal length' in one)
    assert re.search(r'not calibrated; .* horizontal field of view 6\d\.\d degrees \(seeing\)',
                     remark)
    arguments = ['evaluate', '--bag', str(bare), '--model', str(model.path), '--json']
    assert main(arguments) == 2
    assert main([*arguments, '--allow-estimated-focal']) == 0
