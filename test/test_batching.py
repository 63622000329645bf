"""Frames of several cameras together or in turns, by what the runtime really takes."""

import graphs
import numpy as np
import pytest
from ros_camera import textured

from depth_ros.backends import BackendKind, BackendOptions, LoadingCancelledError
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.batching import Batching, choose_batching


def pipeline_of(folder, dearer_together: bool, kind=BackendKind.ONNXRUNTIME) -> DepthPipeline:
    """Of a network whose work is the same for any batch, or dearer for a larger one."""
    spec = graphs.spec()
    graph = graphs.depth_graph(spec)
    graphs.add_work(graph, size=512, times=2, dearer_together=dearer_together)
    model = graphs.write_model(folder, spec, graph)
    return DepthPipeline.open(model, BackendOptions(kind, threads=1))


def test_together_where_a_batch_costs_no_more(tmp_path):
    chosen = choose_batching(pipeline_of(tmp_path, dearer_together=False), 4)
    assert chosen.frames == 4
    assert str(chosen).startswith('up to 4 together (4 frames take ')


def test_in_turns_where_frames_together_cost_more(tmp_path):
    chosen = choose_batching(pipeline_of(tmp_path, dearer_together=True), 4)
    assert chosen.frames == 1
    assert str(chosen).startswith('in turns (4 frames take ')


def test_in_turns_where_the_runtime_takes_one_frame(tmp_path):
    pipeline = pipeline_of(tmp_path, dearer_together=False, kind=BackendKind.OPENVINO)
    assert choose_batching(pipeline, 4) == Batching(1, 'the runtime takes one frame at a time')


def test_a_single_camera_has_no_choice(tmp_path):
    chosen = choose_batching(pipeline_of(tmp_path, dearer_together=False), 1)
    assert (chosen, str(chosen)) == (Batching(1), 'one by one')


def test_choosing_is_cancelled(tmp_path):
    class Unwanted:
        def tell(self, doing, share=None):
            raise AssertionError(doing)

        def cancelled(self):
            return True

    with pytest.raises(LoadingCancelledError):
        choose_batching(pipeline_of(tmp_path, dearer_together=False), 2, Unwanted())


def test_a_model_that_takes_single_frames_alone_is_run_in_turns(tmp_path):
    import onnx

    spec = graphs.spec(motion=None)
    graph = graphs.depth_graph(spec)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model = graphs.write_model(tmp_path, spec, graph)
    onnx.checker.check_model(str(model.depth_path))
    pipeline = DepthPipeline.open(model, BackendOptions(BackendKind.ONNXRUNTIME))
    chosen = choose_batching(pipeline, 3)
    assert chosen.frames == 1
    assert chosen.why.startswith('together they fail: ')
    picture = textured(0, graphs.WIDTH, graphs.HEIGHT)[None]
    depth = pipeline.depth(picture, [pipeline.view_of(graphs.training_camera())])
    assert np.isfinite(depth).all()
