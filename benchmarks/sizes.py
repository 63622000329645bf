"""Sizes of images on a benchmark's command line."""

from __future__ import annotations

import argparse


def parse_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT, both multiples of 32.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    width, _, height = text.partition('x')
    if not (width.isdigit() and height.isdigit()) or int(width) % 32 or int(height) % 32 or not (
        int(width) and int(height)
    ):
        raise argparse.ArgumentTypeError(f'{text!r} is no WIDTHxHEIGHT in multiples of 32')
    return int(width), int(height)
