"""The line that tells how far a long command is."""

import io
import re

import pytest

from depth_ros.cli import progress as module
from depth_ros.cli.progress import Progress


class Terminal(io.StringIO):
    """Keeps what was written, and says that it rewrites lines."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that stands where the test puts it [s]."""
    now_s = [100.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now_s[0])
    return now_s


def shown(written):
    """What a terminal shows of its last line."""
    line = ''
    for part in written.rstrip('\n').split('\r'):
        line = part + line[len(part):]
    return line


def test_a_shorter_line_leaves_nothing_of_a_longer_one(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr('sys.stderr', terminal)
    with Progress('evaluated', 200) as progress:
        for clock[0], done in ((110.0, 100), (120.0, 101)):
            progress.update(done)
            assert re.fullmatch(r'evaluated \d+/200 frames, \d+\.\d per second *',
                                shown(terminal.getvalue()))
        assert '10.0 per second' in terminal.getvalue()
    assert shown(terminal.getvalue()).rstrip() == 'evaluated 101/200 frames, 5.0 per second'
    assert terminal.getvalue().endswith('\n')


def test_elsewhere_there_is_one_line_at_the_end(capsys, clock):
    with Progress('evaluated') as progress:
        for done in (1, 2):
            clock[0] += 1.0
            progress.update(done)
    assert capsys.readouterr().err == 'evaluated 2 frames, 1.0 per second\n'
