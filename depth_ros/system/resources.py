"""Finds what is installed beside the code: configuration and launch files.

A source checkout, `pip install`, a Debian package and both kinds of `colcon build` have one thing
in common: some folder above this file holds either `config/` itself or `share/depth_ros/config/`.
"""

from __future__ import annotations

from pathlib import Path

from depth_ros.errors import ConfigError

_PACKAGE = 'depth_ros'


def share_folder() -> Path:
    """The folder that holds package.xml, config/ and launch/.

    Raises:
        ConfigError: the package was copied without its files.
    """
    here = Path(__file__).resolve()
    for parent in here.parents:
        for folder in (parent, parent / 'share' / _PACKAGE):
            if (folder / 'package.xml').is_file() and (folder / 'config').is_dir():
                return folder
    raise ConfigError(
        f'no share/{_PACKAGE} folder above {here.parent}; install the package with pip or colcon'
    )


def config_file(name: str) -> Path:
    """The path of config/<name>, for example 'fastdds.xml' or 'training/kitchen.yaml'.

    Raises:
        ConfigError: there is no such file; the message lists those of its folder.
    """
    path = share_folder() / 'config' / name
    if not path.is_file():
        present = sorted(entry.name for entry in path.parent.glob('*') if entry.is_file())
        raise ConfigError(f'no file {path}; beside it: {", ".join(present) or "nothing"}')
    return path


def package_version() -> str:
    """The version that package.xml states."""
    text = (share_folder() / 'package.xml').read_text(encoding='utf-8')
    return text.split('<version>', 1)[1].split('</version>', 1)[0].strip()
