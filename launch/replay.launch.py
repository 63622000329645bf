"""A bag, the depth node and RViz.

    ros2 launch depth_ros replay.launch.py bag:=my_bag
    ros2 launch depth_ros replay.launch.py bag:=my_bag image:=/left/image_rect loop:=true
"""

import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.conditions import UnlessCondition
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from depth_ros.bags import BagReader, find_camera_topics

HERE = Path(__file__).resolve().parent

ARGUMENTS = (
    DeclareLaunchArgument('bag', description='Folder or file of the recording.'),
    DeclareLaunchArgument(
        'image', default_value='', description='Images of the bag, where it has several.'
    ),
    DeclareLaunchArgument(
        'camera_info', default_value='', description='Their calibration, likewise.'
    ),
    DeclareLaunchArgument('rate', default_value='1.0', description='Times the recorded speed.'),
    DeclareLaunchArgument(
        'loop', default_value='false', choices=['true', 'false'], description='Play for ever.'
    ),
    DeclareLaunchArgument('model', default_value='', description='Model folder or name.'),
    DeclareLaunchArgument('namespace', default_value='', description='Of the node.'),
    DeclareLaunchArgument('rviz', default_value='true', description='Start RViz.'),
)


def play_and_answer(context: LaunchContext) -> list[Action]:
    """Player and node; the bag says whether its images are compressed."""

    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    with BagReader(given('bag')) as reader:
        camera = find_camera_topics(reader, given('image') or None, given('camera_info') or None)
    compressed = camera.image.endswith('/compressed')
    player = ExecuteProcess(
        cmd=[
            sys.executable, '-m', 'depth_ros', 'play', given('bag'), '--clock', '--wait', '20',
            '--topics', camera.image, camera.camera_info, '--rate', given('rate'),
            '--wait-for-node', f'/{given("namespace")}/depth_node'.replace('//', '/'),
            *(['--loop'] if given('loop') == 'true' else []),
        ],
        output='screen',
    )  # fmt: skip
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / 'depth.launch.py')),
        launch_arguments={
            'image': camera.image.removesuffix('/compressed'),
            'camera_info': camera.camera_info,
            'image_transport': 'compressed' if compressed else 'raw',
            'model': given('model'),
            'namespace': given('namespace'),
            'use_sim_time': 'true',
            'publish_tf': 'true',  # nobody else tells where the camera is
            'rviz': given('rviz'),
        }.items(),
    )
    # RViz stays to be looked at; without it nothing is left to do when the bag ends.
    end = RegisterEventHandler(
        OnProcessExit(target_action=player, on_exit=[Shutdown(reason='the bag has ended')]),
        condition=UnlessCondition(LaunchConfiguration('rviz')),
    )
    return [node, player, end]


def generate_launch_description() -> LaunchDescription:
    """What ros2 launch asks for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=play_and_answer)])
