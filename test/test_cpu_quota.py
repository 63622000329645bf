"""Quotas of control groups."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from depth_ros.backends.cpu_quota import cpu_quota

OLD_GROUPS = Path('/sys/fs/cgroup/cpu')


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + '\n')


def test_a_container_s_own_quota(tmp_path):
    write(tmp_path / 'proc/self/cgroup', '0::/')
    write(tmp_path / 'sys/fs/cgroup/cpu.max', '150000 100000')
    assert cpu_quota(tmp_path) == 1.5


def test_the_least_quota_of_a_group_and_those_above_it_counts(tmp_path):
    groups = tmp_path / 'sys/fs/cgroup'
    write(tmp_path / 'proc/self/cgroup', '0::/robot.slice/depth.service')
    write(groups / 'robot.slice/depth.service/cpu.max', 'max 100000')
    assert cpu_quota(tmp_path) == math.inf
    write(groups / 'robot.slice/cpu.max', '300000 100000')
    assert cpu_quota(tmp_path) == 3.0
    write(groups / 'robot.slice/depth.service/cpu.max', '50000 100000')
    assert cpu_quota(tmp_path) == 0.5


def test_groups_of_version_1(tmp_path):
    """As a container sees them: its place on the host is told, its files are not there."""
    write(tmp_path / 'proc/self/cgroup', '4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n0::/')
    cpu = tmp_path / 'sys/fs/cgroup/cpu'
    write(cpu / 'cpu.cfs_period_us', '50000')
    write(cpu / 'cpu.cfs_quota_us', '-1')
    assert cpu_quota(tmp_path) == math.inf
    write(cpu / 'cpu.cfs_quota_us', '100000')
    assert cpu_quota(tmp_path) == 2.0


@pytest.mark.parametrize('told', ['', 'max', '1 0', 'x 100000', '1 2 3'])
def test_what_nobody_understands_limits_nothing(tmp_path, told):
    write(tmp_path / 'proc/self/cgroup', '0::/')
    write(tmp_path / 'sys/fs/cgroup/cpu.max', told)
    assert cpu_quota(tmp_path) == math.inf


def test_without_control_groups_nothing_is_limited(tmp_path):
    assert cpu_quota(tmp_path) == math.inf


@pytest.mark.skipif(
    not os.access(OLD_GROUPS / 'cgroup.procs', os.W_OK), reason='no control groups to make here'
)
def test_threads_follow_the_quota_of_a_real_group():
    """A process that enters one of three quarters of a processor takes a single thread."""
    group = OLD_GROUPS / f'depth_ros_test_{os.getpid()}'
    program = (
        'from depth_ros.backends.cores import physical_cores\n'
        'from depth_ros.backends.cpu_quota import cpu_quota\n'
        'print(cpu_quota(), physical_cores())'
    )
    group.mkdir()
    try:
        try:
            (group / 'cpu.cfs_quota_us').write_text('75000')
        except OSError:
            pytest.skip('quotas cannot be set here')
        shell = f'echo $$ > {group}/cgroup.procs; exec "$0" -c "$1"'
        told = subprocess.run(
            ['sh', '-c', shell, sys.executable, program],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        group.rmdir()
    assert told.stdout.split() == ['0.75', '1']
