"""Installs both halves: depth_ros (the robot) and training (the workstation)."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

# Resolved, since a symlink install runs this file from colcon's build folder.
ROOT = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
NAME = MANIFEST.findtext('name')


def requirements(layer):
    """The requirement lines of requirements/<layer>.txt."""
    lines = (ROOT / 'requirements' / f'{layer}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def shared_files(*folders):
    """data_files entries that put the files of `folders` (and below) under share/depth_ros."""
    entries = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*')):
            if path.is_file() and path.suffix != '.pyc':
                name = path.relative_to(ROOT)
                entries.setdefault(f'share/{NAME}/{name.parent}', []).append(str(name))
    return list(entries.items())


README = ROOT / 'README.md'

setup(
    name=NAME,
    version=MANIFEST.findtext('version'),
    description=MANIFEST.findtext('description'),
    long_description=README.read_text(encoding='utf-8') if README.is_file() else '',
    long_description_content_type='text/markdown',
    maintainer=MANIFEST.findtext('maintainer'),
    maintainer_email=MANIFEST.find('maintainer').get('email'),
    license=MANIFEST.findtext('license'),
    packages=find_packages(include=['depth_ros', 'depth_ros.*', 'training', 'training.*']),
    package_data={'depth_ros': ['py.typed', 'models/*/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        *shared_files('launch', 'config'),
    ],
    python_requires='>=3.10',
    install_requires=requirements('runtime'),
    extras_require={
        'jazzy': requirements('jazzy'),
        'kilted': requirements('kilted'),
        'openvino': requirements('openvino'),
        'tensorrt': requirements('engines'),
        'training': requirements('training'),
        'test': requirements('test'),
    },
    zip_safe=False,
    entry_points={
        'console_scripts': [
            'depth_ros = depth_ros.cli.main:main',
            'depth_node = depth_ros.node:main',
        ],
        'ros2cli.command': ['depth = depth_ros.cli.ros2:DepthCommand'],
    },
)
