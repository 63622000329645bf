"""How images travel between processes: the Fast DDS profile, and whether the machine suits it.

Fast DDS as it comes gives each process 512 kB of shared memory; best-effort messages that do not
fit, such as a 640x480 rgb8 image, are dropped without a word. config/fastdds.xml gives 64 MiB. The
segment belongs to the sender, hence every process that publishes images needs the profile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depth_ros.system.resources import config_file
from depth_ros.system.ros_distro import ros_distro

PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
"""Where Fast DDS looks for a profile: version 3 (Kilted) the first, version 2 the second."""

_FAST_DDS_2 = ('humble', 'iron', 'jazzy')
"""Distributions whose Fast DDS reads the second name; later ones warn where they see it."""

IMPLICIT_PROFILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')
"""Files that Fast DDS reads by itself from the working directory."""

SEGMENT_BYTES = 64 << 20
"""segment_size of config/fastdds.xml."""

SHARED_MEMORY = Path('/dev/shm')
_PARTICIPANTS = 4
"""Player, depth node, RViz and one more: so many segments should fit."""


@dataclass(frozen=True)
class TransportProblem:
    """Something about this machine or environment that loses images."""

    what: str
    cure: str


def uses_fast_dds(environment: Mapping[str, str]) -> bool:
    """Whether ROS 2 talks through Fast DDS, its default."""
    return environment.get('RMW_IMPLEMENTATION', '').strip() in ('', 'rmw_fastrtps_cpp')


def user_profile(environment: Mapping[str, str], working_directory: Path) -> Path | None:
    """The Fast DDS profile already in force, never overruled; None where there is none."""
    for variable in PROFILE_VARIABLES:
        if environment.get(variable):
            return Path(environment[variable])
    for name in IMPLICIT_PROFILES:
        if (working_directory / name).is_file():
            return working_directory / name
    return None


def profile_variables(
    environment: Mapping[str, str], working_directory: Path | None = None
) -> dict[str, str]:
    """What to add to the environment of a process so that its images arrive.

    Empty where another middleware is in use or the user has a profile.
    """
    directory = Path.cwd() if working_directory is None else working_directory
    if not uses_fast_dds(environment) or user_profile(environment, directory) is not None:
        return {}
    profile = str(config_file('fastdds.xml'))
    return dict.fromkeys(_variables(environment), profile)


def use_profile() -> None:
    """Let this process, and those it starts, use the profile; call it before rclpy.init()."""
    os.environ.update(profile_variables(os.environ))


def shared_memory_bytes(folder: Path = SHARED_MEMORY) -> int | None:
    """Size of the shared-memory file system; None where there is none."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_frsize * status.f_blocks


def find_problems(
    environment: Mapping[str, str],
    working_directory: Path | None = None,
    shared_memory: Path = SHARED_MEMORY,
) -> tuple[TransportProblem, ...]:
    """What would lose images here, for `depth_ros doctor` and the node's log at its start."""
    if not uses_fast_dds(environment):
        return ()
    directory = Path.cwd() if working_directory is None else working_directory
    problems = []
    profile = user_profile(environment, directory)
    if profile is None:
        problems.append(TransportProblem(
            'Fast DDS runs without a profile: best-effort images above 512 kB are lost silently',
            profile_cure(),
        ))  # fmt: skip
    elif not profile.is_file():
        problems.append(TransportProblem(
            f'the Fast DDS profile {profile} does not exist, so Fast DDS runs without one',
            profile_cure(),
        ))  # fmt: skip
    size = shared_memory_bytes(shared_memory)
    if size is not None and size < _PARTICIPANTS * SEGMENT_BYTES:
        problems.append(TransportProblem(
            f'{shared_memory} has {size >> 20} MiB; every ROS process with the profile takes '
            f'{SEGMENT_BYTES >> 20} MiB of it',
            'give it more, in Docker with --shm-size=1g or --ipc=host',
        ))  # fmt: skip
    return tuple(problems)


def profile_cure() -> str:
    """One line telling how to run the process that publishes images with the profile."""
    profile = config_file('fastdds.xml')
    settings = ' '.join(f'{variable}={profile}' for variable in _variables(os.environ))
    return f'start the image publisher with {settings}'


def _variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    distro = ros_distro(environment)
    return PROFILE_VARIABLES if distro is None or distro in _FAST_DDS_2 else PROFILE_VARIABLES[:1]
