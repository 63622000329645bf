"""Synthetic scenes with exact depth and poses, for the demo, the tests and training."""

from depth_ros.synthetic.bag import SyntheticBag, write_bag
from depth_ros.synthetic.path import CameraMount, make_path
from depth_ros.synthetic.render import render
from depth_ros.synthetic.room import WallStyle, make_scene
from depth_ros.synthetic.scene import Scene

__all__ = [
    'CameraMount',
    'Scene',
    'SyntheticBag',
    'WallStyle',
    'make_path',
    'make_scene',
    'render',
    'write_bag',
]
