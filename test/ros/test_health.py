"""Problems of the node and its cameras."""

import threading

from rclpy.logging import get_logger

from depth_ros.ros.health import Health, Level, Problem, Trouble
from depth_ros.ros.monitor import Monitor


def test_problems_are_known_until_they_are_cleared():
    health = Health()
    assert health.problems() == {}
    scale = Problem(Level.WARN, 'no scale')
    image = Problem(Level.ERROR, 'bad image', 'send a good one')
    health.report(Trouble.SCALE, scale)
    health.report(Trouble.IMAGE, image)
    assert health.problems() == {Trouble.SCALE: scale, Trouble.IMAGE: image}
    assert str(image) == 'bad image; send a good one'
    health.clear(Trouble.IMAGE)
    assert health.problems() == {Trouble.SCALE: scale}


def test_reports_and_clears_tell_what_is_new():
    health = Health()
    assert health.report(Trouble.IMAGE, Problem(Level.WARN, 'one'))
    assert not health.report(Trouble.IMAGE, Problem(Level.WARN, 'another of the same level'))
    assert health.report(Trouble.IMAGE, Problem(Level.ERROR, 'worse'))
    assert not health.clear(Trouble.CAMERA)
    assert not health.clear(Trouble.IMAGE, older_than_s=60.0)
    assert health.clear(Trouble.IMAGE)
    assert not health.clear(Trouble.IMAGE)


def test_threads_that_report_the_same_trouble_first_do_not_disturb_each_other(monkeypatch):
    """The second one finds it known, though nothing was logged yet."""
    monitor = Monitor('camera', get_logger('test'), lambda: None)
    report, second = Health.report, threading.Event()

    def slow(health: Health, trouble: Trouble, problem: Problem) -> bool:
        new = report(health, trouble, problem)
        if new:
            second.wait(5.0)
        return new

    monkeypatch.setattr(Health, 'report', slow)
    problem = Problem(Level.WARN, 'no scale')
    first = threading.Thread(target=monitor.report, args=(Trouble.SCALE, problem))
    first.start()
    while not monitor.problems:
        pass
    monitor.report(Trouble.SCALE, problem)
    second.set()
    first.join()
    assert monitor.problems == {Trouble.SCALE: problem}
