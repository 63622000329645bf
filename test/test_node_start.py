"""What the node's process settles before its libraries are imported."""

import os
import subprocess
import sys

import pytest

_THREADS = """
import os, sys, types
from depth_ros import node
def run(args, ending):
    before = len(os.listdir('/proc/self/task'))
    import numpy
    numpy.linalg.inv(numpy.eye(3))
    print(len(os.listdir('/proc/self/task')) - before)
    return 0
sys.modules['depth_ros.ros.depth_node'] = types.SimpleNamespace(run=run)
sys.exit(node.main([]))
"""


@pytest.mark.skipif(not os.path.isdir('/proc/self/task'), reason='Linux tells threads')
@pytest.mark.parametrize(('asked', 'threads'), [({}, 0), ({'OPENBLAS_NUM_THREADS': '2'}, 1)])
def test_blas_has_no_threads_unless_somebody_wants_them(asked, threads):
    if len(os.sched_getaffinity(0)) <= threads:
        pytest.skip('one core only')
    environment = {k: v for k, v in os.environ.items() if not k.endswith('_NUM_THREADS')}
    done = subprocess.run(
        [sys.executable, '-c', _THREADS], env={**environment, **asked},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f'{threads}\n'), done.stderr
