"""Loads models beside the running one: the first one, another one, other options, all alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from depth_ros.backends import BackendOptions
from depth_ros.errors import DepthRosError
from depth_ros.model import Model
from depth_ros.pipeline import DepthPipeline
from depth_ros.ros.mailbox import Mailbox


@dataclass(frozen=True)
class LoadRequest:
    """A model and how to run it."""

    model: Model
    options: BackendOptions


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for frames."""

    model: Model
    pipeline: DepthPipeline
    seconds: float
    """Time that loading and the first runs took."""


class ModelLoader:
    """A thread that loads the newest model asked for; rclpy's callbacks never wait for it."""

    def __init__(
        self,
        loaded: Callable[[LoadedModel], None],
        failed: Callable[[LoadRequest, DepthRosError], None],
    ) -> None:
        """Start the thread, which calls `loaded` or `failed` for each request."""
        self._loaded = loaded
        self._failed = failed
        self._requests: Mailbox[LoadRequest] = Mailbox()
        self._requests.open()
        self._thread = threading.Thread(target=self._work, name='model loader', daemon=True)
        self._thread.start()

    def request(self, request: LoadRequest) -> None:
        """Load this one next; requests not yet begun are dropped."""
        self._requests.put(request)

    def close(self) -> None:
        """Wait for a model that is being loaded, then end the thread."""
        self._requests.close()
        self._thread.join()

    def _work(self) -> None:
        while (request := self._requests.take()) is not None:
            start = time.monotonic()
            pipeline = None
            try:
                pipeline = DepthPipeline.open(request.model, request.options)
                pipeline.warm_up()
                seconds = time.monotonic() - start
                self._loaded(LoadedModel(request.model, pipeline, seconds))
            except DepthRosError as error:
                if pipeline is not None:
                    pipeline.close()
                self._failed(request, error)
