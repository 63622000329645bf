"""Check this machine: libraries, ROS 2, transport of large images, runtimes, and the model.

Every problem comes with its cure. Exit status 1 where something is broken; warnings leave it 0.
"""

from __future__ import annotations

import argparse
import json

from depth_ros.cli.progress import PrintedLoading
from depth_ros.doctor import Finding, State, examine
from depth_ros.model_folder.model import DEFAULT_MODEL

NAME = 'doctor'
HELP = 'check libraries, ROS 2, image transport, runtimes and model; tell the cure'

_MARKS = {State.OK: 'ok     ', State.WARNING: 'warning', State.BROKEN: 'BROKEN '}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--model', default=DEFAULT_MODEL,
                        help='model folder or name to load and time (default: %(default)s)')
    parser.add_argument('--json', action='store_true', help='print the findings as a JSON list')


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 where something is broken."""
    findings = examine(args.model, PrintedLoading())
    if args.json:
        print(json.dumps([_as_json(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(_as_text(finding))
    return 1 if any(finding.state is State.BROKEN for finding in findings) else 0


def _as_json(finding: Finding) -> dict[str, str]:
    return {'name': finding.name, 'state': finding.state.value, 'found': finding.found,
            'cure': finding.cure}


def _as_text(finding: Finding) -> str:
    line = f'{_MARKS[finding.state]}  {finding.name}: {finding.found}'
    return f'{line}\n         cure: {finding.cure}' if finding.cure else line
