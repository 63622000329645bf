"""What the one who waits for a model is told, and how the loading is stopped."""

from __future__ import annotations

from typing import Protocol

from depth_ros.errors import BackendError


class LoadingCancelledError(BackendError):
    """The one who asked for the model wants it no more."""


class Loading(Protocol):
    """The other end of a loading that takes long."""

    def tell(self, doing: str, share: float | None = None) -> None:
        """Take what is being done, and how much of it is: 0 to 1, None where nobody knows."""

    def cancelled(self) -> bool:
        """Whether the model is not wanted any more."""


class _Unwatched:
    def tell(self, doing: str, share: float | None = None) -> None:
        pass

    def cancelled(self) -> bool:
        return False


UNWATCHED: Loading = _Unwatched()
"""Tells nobody and is never cancelled."""
