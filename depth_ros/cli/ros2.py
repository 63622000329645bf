"""The verbs as `ros2 depth VERB` (loaded by ros2cli alone, where that is installed)."""

from __future__ import annotations

import argparse

from ros2cli.command import CommandExtension

from depth_ros.cli.main import add_verbs, run_verb


class DepthCommand(CommandExtension):
    """Metric depth, egomotion and point clouds from camera images."""

    def add_arguments(self, parser: argparse.ArgumentParser, cli_name: str) -> None:
        """Add the verbs below `ros2 depth`."""
        add_verbs(parser)

    def main(self, *, parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
        """Run the verb that was named."""
        return run_verb(args, f'{parser.prog} depth')
