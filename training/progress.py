"""What is told while something long goes on."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes a line of text for people."""
