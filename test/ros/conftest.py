"""A network, a peer and a tiny model for tests that start real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import graphs
import numpy as np
import pytest
from ros_harness import Network, Peer
from ros_robot import RECOVERIES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts nodes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.ros)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How soon good frames were answered after faults; a test cannot ask for it on any machine."""
    seconds = config.stash.get(RECOVERIES, [])
    if seconds:
        median, worst = np.percentile(seconds, (50, 100))
        terminalreporter.write_line(
            f'{len(seconds)} good frames among faults: answered within {1e3 * median:.0f} ms at '
            f'the median, {worst:.2f} s at worst'
        )


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A domain of the test's own."""
    return Network(tmp_path)


@pytest.fixture
def peer(network: Network) -> Iterator[Peer]:
    """The test's side of it."""
    peer = Peer(network)
    yield peer
    peer.close()


@pytest.fixture(scope='session')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth 0.02 m for each grey level, always 0.1 m straight ahead."""
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'tiny').path
