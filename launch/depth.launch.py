"""The depth node for a running camera, and RViz on request.

    ros2 launch depth_ros depth.launch.py image:=/camera/image_raw \
        camera_info:=/camera/camera_info publish_tf:=true rviz:=true
    ros2 launch depth_ros depth.launch.py cameras:=front,left,right \
        image:=/{camera}/image_raw camera_info:=/{camera}/camera_info

Nodes that this launch starts, and those that a launch file which includes it starts afterwards,
get the package's Fast DDS profile, unless the user has one. A camera driver started elsewhere
needs it too: see config/fastdds.xml.
"""

import os
import tempfile
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_ros.cameras.camera_names import camera_topic, remappings
from depth_ros.rviz import derived_camera_info, rviz_config, rviz_frame, rviz_topics
from depth_ros.system.transport import profile_variables

CONFIG = Path(__file__).resolve().parents[1] / 'config'

OVERRIDES = {
    'model': str, 'backend': str, 'image_transport': str, 'base_frame': str, 'publish_tf': bool,
}  # fmt: skip
CAMERA_INPUTS = ('image', 'camera_info')

ARGUMENTS = (
    DeclareLaunchArgument('name', default_value='depth_node', description='Name of the node.'),
    DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of the node and its topics.'
    ),
    DeclareLaunchArgument(
        'cameras',
        default_value='',
        description='Names of cameras that share the model, with commas between; {camera} in '
        'image and camera_info stands for each of them.',
    ),
    DeclareLaunchArgument(
        'image',
        default_value='image',
        description='Topic of the images; for image_transport compressed without /compressed.',
    ),
    DeclareLaunchArgument(
        'camera_info', default_value='camera_info', description='Topic of the calibration.'
    ),
    DeclareLaunchArgument(
        'odometry',
        default_value='odometry',
        description='Topic of the odometry that gives metres to scale_source odometry.',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=str(CONFIG / 'depth.yaml'),
        description='Parameters of the node.',
    ),
    DeclareLaunchArgument(
        'model', default_value='', description='Model folder or name, instead of that of the file.'
    ),
    DeclareLaunchArgument(
        'backend',
        default_value='',
        choices=['', 'auto', 'tensorrt', 'onnxruntime', 'openvino'],
        description='Runtime that computes, instead of that of the file.',
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='',
        choices=['', 'raw', 'compressed'],
        description='Kind of images, instead of that of the file.',
    ),
    DeclareLaunchArgument(
        'base_frame',
        default_value='',
        description='Frame of the robot whose pose odom gives, instead of that of the file.',
    ),
    DeclareLaunchArgument(
        'publish_tf',
        default_value='',
        choices=['', 'true', 'false'],
        description='Broadcast odometry on /tf, instead of what the file says.',
    ),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', description='Take the time from /clock.'
    ),
    DeclareLaunchArgument(
        'rviz',
        default_value='false',
        description='Start RViz beside it, on what these arguments say of topics and frames; of '
        'several cameras it shows the first.',
    ),
    DeclareLaunchArgument(
        'fixed_frame',
        default_value='',
        description='In which RViz shows everything. Empty: odom of the node with '
        'publish_tf:=true, else base_frame, else odom of the robot.',
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='Of the node.'),
)


def cameras_of(context: LaunchContext) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of the cameras, and where their inputs are to be found."""
    cameras = LaunchConfiguration('cameras').perform(context)
    names = [name.strip() for name in cameras.split(',')]
    topics = {topic: LaunchConfiguration(topic).perform(context) for topic in CAMERA_INPUTS}
    return names, remappings(names, topics)


def start_node(context: LaunchContext) -> list[LifecycleNode]:
    """The node; parameters given to the launch stand above those of the file."""
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in OVERRIDES.items()
        if LaunchConfiguration(name).perform(context)
    }
    names, inputs = cameras_of(context)
    several = {} if names == [''] else {'cameras': names}
    use_sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return [
        LifecycleNode(
            package='depth_ros',
            executable='depth_node',
            name=LaunchConfiguration('name'),
            namespace=LaunchConfiguration('namespace'),
            parameters=[
                LaunchConfiguration('params_file'),
                {'use_sim_time': use_sim_time, **overrides, **several},
            ],
            remappings=[('odometry', LaunchConfiguration('odometry')), *inputs],
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
            output='screen',
        )
    ]


def start_rviz(context: LaunchContext) -> list[Action]:
    """RViz on the first camera; it only looks, and adds no frames to those of a robot."""

    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    names, inputs = cameras_of(context)
    camera, moved = names[0], dict(inputs)
    image, camera_info = (
        moved.get(topic, topic) for topic in (camera_topic(camera, t) for t in CAMERA_INPUTS)
    )
    topics = rviz_topics(camera, image, given('image_transport') == 'compressed')
    publish_tf = given('publish_tf') == 'true'
    frame = given('fixed_frame') or rviz_frame(camera, given('base_frame'), publish_tf)
    config = rviz_config((CONFIG / 'depth.rviz').read_text(), topics, frame)
    with tempfile.NamedTemporaryFile(
        'w', prefix='depth_', suffix='.rviz', delete=False
    ) as file:
        file.write(config)
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        namespace=LaunchConfiguration('namespace'),
        arguments=['-d', file.name],
        parameters=[
            {
                'use_sim_time': ParameterValue(
                    LaunchConfiguration('use_sim_time'), value_type=bool
                )
            }
        ],
        remappings=[(derived_camera_info(topics['image']), camera_info)],
    )
    if publish_tf or given('base_frame') or given('fixed_frame'):
        return [rviz]
    hint = LogInfo(
        msg=f'RViz shows frame {frame}, and depth needs a way to it in tf: where nothing else '
        'broadcasts one, add publish_tf:=true, or fixed_frame:= a frame of the robot'
    )
    return [rviz, hint]


def generate_launch_description() -> LaunchDescription:
    """What ros2 launch asks for."""
    profile = [
        SetEnvironmentVariable(name, value)
        for name, value in profile_variables(os.environ).items()
    ]
    rviz = OpaqueFunction(
        function=start_rviz, condition=IfCondition(LaunchConfiguration('rviz'))
    )
    return LaunchDescription(
        [*ARGUMENTS, *profile, OpaqueFunction(function=start_node), rviz]
    )
