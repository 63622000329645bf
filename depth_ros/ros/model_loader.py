"""Loads models beside the running one: the first one, another one, other options, all alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from depth_ros.backends import BackendOptions, LoadingCancelledError
from depth_ros.errors import BackendError, DepthRosError
from depth_ros.model_folder.model import Model
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.batching import Batching, choose_batching
from depth_ros.ros.mailbox import Mailbox
from depth_ros.system import heap


@dataclass(frozen=True)
class LoadRequest:
    """A model and how to run it."""

    model: Model
    options: BackendOptions
    cameras: int = 1
    """How many share it."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for frames."""

    request: LoadRequest
    pipeline: DepthPipeline
    batching: Batching
    seconds: float
    """Time that loading and the first runs took."""


class _Progress:
    """What is being done for one request; it is cancelled when the node ends or wants another."""

    def __init__(self, told: Callable[[], None]) -> None:
        """`told` is called when something else is being done."""
        self._told = told
        self._cancelled = threading.Event()
        self._doing = ''
        self.text = ''

    def tell(self, doing: str, share: float | None = None) -> None:
        """See Loading."""
        self.text = doing if share is None else f'{doing}: {share:.0%}'
        if doing != self._doing:
            self._doing = doing
            self._told()

    def cancel(self) -> None:
        """Let the one that loads give up as soon as it may."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """See Loading."""
        return self._cancelled.is_set()


class ModelLoader:
    """A thread that loads the newest model asked for; rclpy's callbacks never wait for it."""

    def __init__(
        self,
        loaded: Callable[[LoadedModel], None],
        failed: Callable[[LoadRequest, DepthRosError], None],
        told: Callable[[str], None],
    ) -> None:
        """Start the thread.

        Args:
            loaded: called with each model that is ready; where it raises, the model is closed.
            failed: called where one cannot be loaded.
            told: called with what takes long, when that changes.
        """
        self._loaded = loaded
        self._failed = failed
        self._told = told
        self._lock = threading.Lock()
        self._progress: _Progress | None = None
        self._newest: LoadRequest | None = None
        self._requests: Mailbox[ModelLoader, LoadRequest] = Mailbox()
        self._requests.open()
        self._thread = threading.Thread(target=self._work, name='model loader', daemon=True)
        self._thread.start()

    @property
    def doing(self) -> str:
        """What takes long just now, such as building an engine; empty where nothing does."""
        with self._lock:
            return '' if self._progress is None else self._progress.text

    def request(self, request: LoadRequest) -> None:
        """Load this one next; one that is being loaded or waits is dropped."""
        with self._lock:
            self._newest = request
            self._requests.put(self, request)
            if self._progress is not None:
                self._progress.cancel()

    def close(self) -> None:
        """Cancel a model that is being loaded, and end the thread."""
        with self._lock:
            self._newest = None
            self._requests.close()
            if self._progress is not None:
                self._progress.cancel()
        self._thread.join()

    def _work(self) -> None:
        while self._requests.wait():
            for _, request in self._requests.take():
                self._take_up(request)

    def _take_up(self, request: LoadRequest) -> None:
        progress = _Progress(self._tell)
        with self._lock:
            if request is not self._newest:  # asked for another one since
                return
            self._progress = progress
        self._load(request, progress)
        heap.give_back()
        with self._lock:
            self._progress = None
            if self._newest is request:
                self._newest = None

    def _load(self, request: LoadRequest, progress: _Progress) -> None:
        start = time.monotonic()
        pipeline = None
        try:
            pipeline = DepthPipeline.open(request.model, request.options, loading=progress)
            pipeline.warm_up()
            pipeline.check(request.model, request.options)
            batching = choose_batching(pipeline, request.cameras, progress)
            if progress.cancelled():
                pipeline.close()
                return
            seconds = time.monotonic() - start
            self._loaded(LoadedModel(request, pipeline, batching, seconds))
        except Exception as error:
            if pipeline is not None:
                pipeline.close()
            if isinstance(error, LoadingCancelledError) or progress.cancelled():
                return
            if not isinstance(error, DepthRosError):  # a bug: this thread must outlive it
                error = BackendError(f'{type(error).__name__}: {error}')
            self._failed(request, error)

    def _tell(self) -> None:
        self._told(self.doing)
