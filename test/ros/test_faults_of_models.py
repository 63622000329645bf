"""Models, runtimes and memory that fail a node, and whoever sets its parameters and its state.

As in test_faults, a good frame is answered rightly after each, and the diagnostics told of it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from ros_camera import HEIGHT, START, WIDTH, textured
from ros_harness import BEST_EFFORT, WAIT_S, image_message, parameter, wait_for
from ros_robot import Robot, living
from sensor_msgs.msg import Image


@pytest.fixture(scope='module')
def robot(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Robot]:
    """One node for all of them, in their order."""
    with living(tmp_path_factory, pytestconfig, 'models') as robot:
        yield robot


def test_a_runtime_that_raises_and_memory_that_it_does_not_get(robot):
    for grey, words in (
        (graphs.RAISING_GREY, ('ONNX Runtime failed', 'out of data bounds')),
        (graphs.GREEDY_GREY, ('ONNX Runtime failed', 'Failed to allocate memory')),
    ):
        picture = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
        robot.told('wrong: inference', *words,
                   meanwhile=lambda picture=picture: robot.send(picture, START))  # fmt: skip
        robot.good()
    robot.recovered()


def test_a_model_that_is_removed_or_replaced_by_garbage(robot):
    peer = robot.peer
    path = robot.model('doomed')
    graph = Path(path) / 'depth.onnx'
    sound = graph.read_bytes()
    assert peer.set_parameter('model', path).successful
    peer.wait_diagnosis(lambda d: path in d['model'] and 'loading' not in d['backend'])
    robot.recovered()
    for spoil, words in (
        (lambda: graph.write_bytes(b'\x08\xff' * 500), 'depth.onnx'),
        (lambda: graph.write_bytes(sound[: len(sound) // 2]), 'depth.onnx'),
        (graph.unlink, 'holds no depth.onnx'),
        (lambda: shutil.rmtree(path), 'no model'),
    ):
        spoil()
        robot.good()  # it is in memory
        result = peer.set_parameter('model', path)
        assert not result.successful
        assert words in result.reason
    robot.recovered()
    # And from nothing, where there is none to go on with.
    assert peer.transition('deactivate')
    assert peer.transition('cleanup')
    assert not peer.transition('configure')
    told = peer.wait_diagnosis(lambda d: 'wrong: model' in d)
    assert (told['level'], told['state']) == ('2', 'unconfigured')
    assert path in told['wrong: model']
    assert robot.model('doomed') == path
    assert peer.transition('configure')
    assert peer.transition('activate')
    robot.recovered()


def test_depth_is_answered_whatever_becomes_of_its_motion(robot):
    spec = graphs.spec()
    pose = graphs.fragile_pose_graph(spec)
    path = graphs.write_model(robot.folder / 'lost', spec, pose=pose).path
    assert robot.peer.set_parameter('model', str(path)).successful
    odometry = robot.peer.collect(Odometry, 'odom')
    wait_for(lambda: robot.good() or odometry, 'odometry')
    refused = int(robot.recovered()['frames refused'])
    known = len(odometry)
    robot.told('wrong: inference', 'ONNX Runtime failed', 'out of data bounds',
               meanwhile=lambda: robot.good(brighter=120))  # fmt: skip
    assert len(odometry) <= known + 1  # of the last picture before
    assert int(robot.recovered()['frames refused']) == refused


def test_models_that_do_not_start_leave_the_old_one_running(robot):
    spec = graphs.spec()
    for node, other, words in (
        ('Cast', 'NoSuchOperator', 'NoSuchOperator'),
        ('GreedyEqual', 'LessOrEqual', 'allocate'),  # whatever it is shown
    ):
        graph = graphs.fragile_graph(spec)
        next(one for one in graph.graph.node if node in (one.op_type, one.name)).op_type = other
        onnx.helper.set_model_props(graph, {graphs.METADATA_KEY: spec.to_json()})
        path = Path(robot.model('refused'))
        onnx.save(graph, path / 'depth.onnx')
        result = robot.peer.set_parameter('model', str(path))
        assert not result.successful
        assert words in result.reason
        robot.good()
    robot.recovered()


STEPS = {
    ('unconfigured', 'configure'): 'inactive',
    ('inactive', 'activate'): 'active',
    ('inactive', 'cleanup'): 'unconfigured',
    ('active', 'deactivate'): 'inactive',
}


def test_lifecycle_transitions_in_every_order(robot):
    peer, state, dice = robot.peer, 'active', random.Random(5)
    client = peer.node.create_client(ChangeState, '/depth_node/change_state')
    assert client.wait_for_service(WAIT_S)
    publisher = peer.node.create_publisher(Image, 'image', BEST_EFFORT)
    taken = set()
    for _ in range(60):
        label = dice.choice(('configure', 'activate', 'deactivate', 'cleanup'))
        request = ChangeState.Request()
        request.transition.label = label
        future = client.call_async(request)
        publisher.publish(image_message(textured(), START))
        wait_for(future.done, f'an answer to {label}')
        wanted = STEPS.get((state, label))
        assert future.result().success == (wanted is not None), (state, label)
        taken.add((state, label))
        state = wanted or state
    assert len(taken) >= 10
    assert peer.state() == state
    while state != 'active':
        label = 'configure' if state == 'unconfigured' else 'activate'
        assert peer.transition(label)
        state = STEPS[state, label]
    robot.recovered()


def test_a_flood_of_parameters(robot):
    node = robot.peer.node
    client = node.create_client(SetParameters, '/depth_node/set_parameters')
    assert client.wait_for_service(WAIT_S)
    good = [('point_stride', 2), ('output_size', 'network'), ('min_confidence', 0.2),
            ('rectify', 'never'), ('scale_source', 'fixed'), ('scale_factor', 2.5),
            ('scale_smoothing', 2.0),
            ('model', str(robot.folder / 'tiny'))]  # fmt: skip
    bad = [('point_stride', 0), ('output_size', 'huge'), ('min_confidence', float('nan')),
           ('rectify', ''), ('scale_source', 'guess'), ('scale_factor', -1.0),
           ('scale_smoothing', -1.0),
           ('model', '/no/such/model'), ('image_transport', 'compressed')]  # fmt: skip
    dice = random.Random(2)
    for _ in range(40):
        # More at once than the ten that ROS keeps of a service's requests, and some were lost.
        asked = [(pair in good, pair) for pair in dice.choices(good + bad, k=8)]
        futures = [
            client.call_async(SetParameters.Request(parameters=[parameter(*pair)]))
            for _, pair in asked
        ]
        robot.send(textured(), START)
        for (allowed, pair), future in zip(asked, futures):
            wait_for(future.done, f'an answer to {pair}')
            (result,) = future.result().results
            assert result.successful == allowed, (pair, result.reason)
            assert allowed or result.reason
    for name, value in (('output_size', 'camera'), ('scale_source', 'model'),
                        ('scale_factor', 1.0), ('scale_smoothing', 0.0),
                        ('min_confidence', 0.0)):  # fmt: skip
        assert robot.peer.set_parameter(name, value).successful, name
    robot.peer.wait_diagnosis(lambda d: d['backend'] != 'loading')
    robot.recovered()
