"""Memory stays flat while large things come and go; asked of processes of their own."""

import platform
import subprocess
import sys

import pytest

from depth_ros.system import heap

glibc = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='needs glibc')

_HOLES = """
from pathlib import Path
from depth_ros.system import heap
assert heap.settle({})
def resident_mib():
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4 / 1024
blocks = [bytes(100_000) for _ in range(400)]
blocks[::2] = [None] * 200  # Each hole lies between two blocks that stay.
before = resident_mib()
heap.give_back()
print(before - resident_mib())
"""

_HEAPS = """
import ctypes, threading
from depth_ros.system import heap
{prepare}
met = threading.Barrier(5)
def allocate():
    kept = bytes(100_000)
    met.wait()
    met.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
met.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, 'stdout'))
libc.fflush(None)
met.wait()
"""


def printed_by(code):
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@glibc
def test_holes_between_what_stays_go_back():
    assert float(printed_by(_HOLES)) > 0.9 * 200 * 100_000 / 2**20


def heaps(prepare):
    return printed_by(_HEAPS.format(prepare=prepare)).count('<heap nr=')


@glibc
def test_threads_share_one_heap():
    assert heaps('assert heap.settle({})') == 1
    assert heaps('') > 1


@glibc
def test_nothing_that_the_node_imports_before_has_threads():
    assert heaps('import depth_ros.node\nassert heap.settle({})') == 1


def test_settings_of_the_user_stay():
    assert not heap.settle({'MALLOC_ARENA_MAX': '4'})
