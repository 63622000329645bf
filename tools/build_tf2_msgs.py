"""Builds tf2_msgs into the environment that runs this file; PyPI has no wheel of it.

    .venv/bin/python tools/build_tf2_msgs.py

tf2_msgs/TFMessage, the message of /tf, comes with every ROS install. Beside the ROS wheels this
needs requirements/interfaces.txt, a C++ compiler and Python's headers. Takes some seconds.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PREFIX = Path(sys.prefix)
LOG_TAIL_LINES = 30

PACKAGE_XML = """\
<?xml version="1.0"?>
<package format="3">
  <name>tf2_msgs</name>
  <version>0.0.0</version>
  <description>tf2_msgs/TFMessage</description>
  <maintainer email="maintainers@depth-ros.org">depth_ros maintainers</maintainer>
  <license>BSD</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""

CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.14)
project(tf2_msgs)
find_package(ament_cmake REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces(tf2_msgs "msg/TFMessage.msg" DEPENDENCIES geometry_msgs)
ament_package()
"""


def use_local_headers() -> None:
    """Point the wheels' CMake exports, which name their build machine's Python, to this one."""
    import numpy

    include = sysconfig.get_paths()['include']
    for path in (PREFIX / 'share').glob('*/cmake/*.cmake'):
        text = path.read_text()
        local = re.sub(r'/opt/python/[^;"]*/numpy/_?core/include', numpy.get_include(), text)
        local = re.sub(r'/opt/python/[^;"/]*/include/python3\.\d+', include, local)
        if local != text:
            path.write_text(local)


def run(command: list[str], what: str) -> None:
    """Run a build step silently; show the end of its output where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        tail = '\n'.join(done.stdout.splitlines()[-LOG_TAIL_LINES:])
        sys.exit(f'{tail}\ntf2_msgs: {what} failed; g++ and the headers of Python are needed: '
                 'apt-get install g++ python3-dev')


def main() -> None:
    """Generate, compile and install, unless it is there."""
    if importlib.util.find_spec('tf2_msgs') is not None:
        return
    print('tf2_msgs: building the message of /tf', flush=True)
    use_local_headers()
    cmake = str(PREFIX / 'bin' / 'cmake')
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        (source / 'msg').mkdir()
        (source / 'package.xml').write_text(PACKAGE_XML)
        (source / 'CMakeLists.txt').write_text(CMAKE_LISTS)
        (source / 'msg' / 'TFMessage.msg').write_text(
            'geometry_msgs/TransformStamped[] transforms\n')
        settings = {
            'CMAKE_MAKE_PROGRAM': PREFIX / 'bin' / 'ninja',
            'CMAKE_PREFIX_PATH': PREFIX,
            'CMAKE_INSTALL_PREFIX': PREFIX,
            'Python3_EXECUTABLE': sys.executable,
            'BUILD_TESTING': 'OFF',
        }
        flags = [f'-D{name}={value}' for name, value in settings.items()]
        build = str(source / 'build')
        run([cmake, '-G', 'Ninja', '-S', str(source), '-B', build, *flags], 'configuring')
        run([cmake, '--build', build, '--target', 'install'], 'compiling')


if __name__ == '__main__':
    main()
