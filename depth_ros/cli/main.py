"""`depth_ros VERB`: collects the verbs, parses the command line, turns errors into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol

from depth_ros.cli import (
    demo,
    doctor,
    engine,
    evaluate,
    export,
    fit_fusion,
    import_model,
    models,
    play,
    process,
    synthesize,
    train,
)
from depth_ros.errors import DepthRosError
from depth_ros.system.resources import package_version
from depth_ros.system.termination import terminated_like_interrupted

# What a shell expects of a command that was refused, interrupted, or lost its reader.
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

DESCRIPTION = '''\
Metric depth, egomotion and point clouds from camera images.

A bag becomes a model (train), a model is measured (evaluate), and a node runs it on a robot
(ros2 launch depth_ros depth.launch.py). `depth_ros demo` shows all of it on a rendered scene.
'''


class Verb(Protocol):
    """What every module of a verb has."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments to its parser."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; the exit status."""


# In the order of the help text: first steps, on the robot, on the workstation.
VERBS: tuple[Verb, ...] = (
    demo,
    doctor,
    engine,
    models,
    play,
    process,
    evaluate,
    train,
    export,
    fit_fusion,
    import_model,
    synthesize,
)


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one sub-command a verb; run_verb() then takes what it parses."""
    verbs = parser.add_subparsers(title='verbs', metavar='VERB', required=True)
    for verb in VERBS:
        verb_parser = verbs.add_parser(
            verb.NAME,
            help=verb.HELP,
            description=verb.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_arguments(verb_parser)
        verb_parser.set_defaults(verb=verb)


def run_verb(args: argparse.Namespace, prog: str) -> int:
    """Run the chosen verb; what the user can mend becomes one line on stderr."""
    verb: Verb = args.verb
    # play has nothing to clear away: it ends at once.
    ending = nullcontext() if verb is play else terminated_like_interrupted()
    try:
        with ending:
            return verb.run(args)
    except (DepthRosError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # `depth_ros models | head`: keep the interpreter from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_BROKEN_PIPE
        print(f'{prog} {verb.NAME}: error: {error}', file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f'{prog} {verb.NAME}: interrupted', file=sys.stderr)
        return EXIT_INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command `depth_ros`."""
    parser = argparse.ArgumentParser(
        prog='depth_ros',
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'depth_ros {package_version()}')
    add_verbs(parser)
    return run_verb(parser.parse_args(argv), parser.prog)


if __name__ == '__main__':
    sys.exit(main())
