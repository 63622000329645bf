"""One line on stderr that tells how far a long command is."""

from __future__ import annotations

import sys
import time


class Progress:
    """Counts frames: a line that rewrites itself on a terminal, else one line at the end."""

    _INTERVAL_S = 0.2

    def __init__(self, verb: str, total: int | None = None):
        """Count frames that are `verb`ed, of `total` where that is known."""
        self._verb = verb
        self._of_total = f'/{total}' if total else ''
        self._start_s = time.monotonic()
        self._shown_s = 0.0
        self._done = 0
        self._width = 0
        self._rewrites = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        """Begin at 0."""
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Leave the last count standing; after an error, only end the line that was begun."""
        if error is None and self._done:
            print(self._line(), file=sys.stderr, flush=True)
        elif self._rewrites and self._shown_s:
            print(file=sys.stderr, flush=True)

    def update(self, done: int) -> None:
        """Tell that `done` frames are finished."""
        self._done = done
        now_s = time.monotonic()
        if self._rewrites and now_s - self._shown_s >= self._INTERVAL_S:
            self._shown_s = now_s
            print(self._line(), end='', file=sys.stderr, flush=True)

    def _line(self) -> str:
        """The count; on a terminal over the line before, of which nothing stays behind."""
        text = self._text()
        if not self._rewrites:
            return text
        covering, self._width = text.ljust(self._width), len(text)
        return '\r' + covering

    def _text(self) -> str:
        rate = self._done / max(time.monotonic() - self._start_s, 1e-9)
        return f'{self._verb} {self._done}{self._of_total} frames, {rate:.1f} per second'


class PrintedLoading:
    """Tells what takes long while a model is loaded: a line each, on a terminal in per cent."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        self._doing = ''
        self._share = -1.0
        self._rewrites = sys.stderr.isatty()

    def tell(self, doing: str, share: float | None = None) -> None:
        """See Loading."""
        if doing != self._doing:
            ended = '\n' if self._rewrites and self._share >= 0 else ''
            print(f'{ended}{doing} ...', end='' if self._rewrites and share is not None else '\n',
                  file=sys.stderr, flush=True)
            self._doing, self._share = doing, -1.0
        if share is not None and self._rewrites and share - self._share >= 0.01:
            self._share = share
            ending = '\n' if share >= 1 else ''
            print(f'\r{doing} ... {share:4.0%}', end=ending, file=sys.stderr, flush=True)

    def cancelled(self) -> bool:
        """See Loading; an interrupt ends the whole command."""
        return False
