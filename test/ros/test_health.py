"""Problems of the node and its cameras."""

from depth_ros.ros.health import Health, Level, Problem, Trouble


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
