"""What ends a training is told as what it is."""

from __future__ import annotations

import pytest

from depth_ros.errors import DepthRosError
from training.fitting import _worker_errors


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.'),
        ConnectionResetError(104, 'Connection reset by peer'),
        EOFError(),
    ],
)
def test_a_broken_pipe_to_a_loading_process_tells_of_its_end(error: Exception) -> None:
    expected = pytest.raises(DepthRosError, match='loads batches was killed')
    with expected as told, _worker_errors(workers=2):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    ('workers', 'error'),
    [(0, ConnectionRefusedError(111, 'x')), (0, EOFError()), (2, RuntimeError('no memory'))],
)
def test_other_errors_stay_as_they_are(workers: int, error: Exception) -> None:
    with pytest.raises(type(error)) as told, _worker_errors(workers):
        raise error
    assert told.value is error
