"""What is told where no images come."""

from types import SimpleNamespace

from rclpy.logging import get_logger

from depth_ros.ros import input_watch
from depth_ros.ros.health import Level, Problem, Trouble
from depth_ros.ros.inputs import Silence
from depth_ros.ros.monitor import Monitor


def test_an_image_at_work_is_no_silence_of_the_camera():
    """As long as it is, nobody may receive."""
    monitor = Monitor('camera', get_logger('test'), lambda: None)
    camera = SimpleNamespace(
        silence=lambda: Silence(5.0, 0), publishers=1, image_topic='/image', image_came=False
    )
    for timeout_s, told in ((3.0 + 4.5, False), (3.0, True)):
        input_watch.watch_inputs(camera, timeout_s, True, monitor)
        assert (Trouble.INPUT in monitor.problems) == told


def test_what_was_wrong_with_the_last_image_does_not_hide_that_no_more_come(monkeypatch):
    monitor = Monitor('camera', get_logger('test'), lambda: None)
    lasting = Problem(Level.WARN, 'no scale')
    monitor.report(Trouble.SCALE, lasting)
    for trouble in (Trouble.IMAGE, Trouble.CAMERA, Trouble.INFERENCE, Trouble.MEMORY):
        monitor.report(trouble, Problem(Level.ERROR, 'the last image was bad'))
    unplugged = SimpleNamespace(
        silence=lambda: Silence(5.0, 0), publishers=0, image_topic='/image', image_name='image'
    )

    def watch() -> None:
        input_watch.watch_inputs(unplugged, 3.0, True, monitor)

    watch()
    assert Trouble.IMAGE in monitor.problems  # of this moment
    monkeypatch.setattr(input_watch, 'SHOWN_S', 0.0)
    watch()
    assert monitor.problems.keys() == {Trouble.SCALE, Trouble.INPUT}
    assert 'nobody publishes it' in monitor.problems[Trouble.INPUT].cure
