"""Inference runtimes behind one small class; each is imported only when it is opened."""

from __future__ import annotations

from depth_ros.backends.backend import Backend
from depth_ros.backends.loading import UNWATCHED, Loading, LoadingCancelledError
from depth_ros.backends.opening import open_backend
from depth_ros.backends.options import (
    BackendKind,
    BackendOptions,
    CpuPrecision,
    Device,
    EngineOptions,
)

__all__ = [
    'UNWATCHED',
    'Backend',
    'BackendKind',
    'BackendOptions',
    'CpuPrecision',
    'Device',
    'EngineOptions',
    'Loading',
    'LoadingCancelledError',
    'open_backend',
]
