"""Runs the depth node: `ros2 run depth_ros depth_node` or `python -m depth_ros.node`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from depth_ros.ros.ending import Ending
from depth_ros.system import heap


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM, which end it in order; the exit status."""
    ending = Ending()
    heap.settle()
    # NumPy's BLAS would wake threads for matrices of a few rows, and these spin while they wait:
    # the inverse of a 3x3 matrix takes 1.8 ms and 7 ms of CPU so, instead of 0.1.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    # Only now: libraries start threads where they are imported, each with a heap of its own, and
    # later threads take these over.
    from depth_ros.ros.depth_node import run

    return run(args, ending)


if __name__ == '__main__':
    sys.exit(main())
