"""Which model runs, which one is to take over, and what is set back where that one fails.

A parameter callback of rclpy says yes or no at once, while loading a model takes a second, and
building an engine minutes. So the callback waits a few seconds for the verdict. After that the set
is accepted as pending; should the model fail later, the parameters that asked for it are set back.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from depth_ros.backends import LoadingCancelledError
from depth_ros.errors import ConfigError, DepthRosError
from depth_ros.model_folder.model import Model
from depth_ros.parameters import NodeParameters
from depth_ros.pipeline.scale import make_scale
from depth_ros.pipeline.steady_scale import check_smoothing
from depth_ros.ros.diagnostics import Diagnostics
from depth_ros.ros.health import Level, Problem, Trouble
from depth_ros.ros.model_loader import LoadedModel, LoadRequest, ModelLoader
from depth_ros.ros.processor import FrameProcessor

_PATIENCE_S = 5.0
"""Whoever sets a parameter waits so long for the verdict; services and timers wait with it."""
_PUBLISHED_S = 1.0


@dataclass
class _Pending:
    """A model that was asked for and neither runs nor has failed."""

    request: LoadRequest
    parameters: NodeParameters
    """All of them, as they are once it runs."""
    before: dict[str, Any]
    """Those that asked for it, as they were: so they are for what runs meanwhile."""
    resumed: _Pending | None = None
    """What is loaded instead where this one fails and nothing runs."""
    accepted: bool = False
    """Whether nobody waits for the verdict."""
    error: DepthRosError | None = None
    done: threading.Event = field(default_factory=threading.Event)


class ModelSwap:
    """Loads models beside the running one and hands them to the processor between two frames.

    `replace`, `apply` and `take_back` belong to the thread of the parameters; the loader's thread
    brings the verdicts.
    """

    def __init__(
        self,
        processor: FrameProcessor,
        cameras: int,
        diagnostics: Diagnostics,
        log: Callable[[str], object],
        ending: threading.Event,
        failed_late: Callable[[], object],
    ) -> None:
        """Start the loader; `begin` gives it the first model.

        Args:
            processor: takes the models that are ready.
            cameras: how many share a model.
            diagnostics: take what goes wrong and what goes on.
            log: takes news.
            ending: when it is set, nobody waits for a verdict any more.
            failed_late: called on the loader's thread where parameters are to be taken back.
        """
        self._processor = processor
        self._cameras = cameras
        self._diagnostics = diagnostics
        self._log = log
        self._ending = ending
        self._failed_late = failed_late
        self._lock = threading.Lock()
        self._named: Model | None = None
        self._loaded: LoadedModel | None = None
        self._pending: _Pending | None = None
        self._back: dict[str, Any] = {}
        self._loader = ModelLoader(self._on_loaded, self._on_failed, self._on_told)

    @property
    def loaded(self) -> LoadedModel | None:
        """The model that runs."""
        return self._loaded

    @property
    def model(self) -> Model | None:
        """The model that runs, or else the last one that was to."""
        return self._named if self._loaded is None else self._loaded.request.model

    @property
    def loading(self) -> bool:
        """Whether a model is to take over."""
        return self._pending is not None

    @property
    def doing_text(self) -> str:
        """What goes on beside the frames; empty where nothing does."""
        pending = self._pending
        if pending is None:
            return ''
        return self._loader.doing or f'loading {pending.request.model.spec.name}'

    def begin(self, model: Model, parameters: NodeParameters) -> None:
        """Load the first model.

        Raises:
            ConfigError: it has not the scale that is asked for.
        """
        check_scale(parameters, model)
        request = LoadRequest(model, parameters.backend_options, self._cameras)
        self._ask_for(_Pending(request, parameters, {}, accepted=True))

    def replace(self, model: Model, parameters: NodeParameters, before: dict[str, Any]) -> None:
        """Load another model, and wait for the verdict as long as one may.

        Args:
            model: the model.
            parameters: all of them.
            before: those that ask for it, as they were.

        Raises:
            DepthRosError: it cannot be loaded, computes something else than its samples tell, or
                has not the scale that is asked for; all is as it was before.
        """
        check_scale(parameters, model)
        request = LoadRequest(model, parameters.backend_options, self._cameras)
        earlier = self._pending
        resumed = None
        if earlier is not None:
            before = {**before, **earlier.before}
            resumed = earlier.resumed or (earlier if self._loaded is None else None)
        pending = _Pending(request, parameters, before, resumed)
        named = self._named
        self._ask_for(pending)
        self._wait(pending)
        with self._lock:
            if not pending.done.is_set() and not self._ending.is_set():
                pending.accepted = True
                return
            if pending.done.is_set() and pending.error is None:
                return
            self._pending, self._named = None, named
        error = pending.error or ConfigError('the node is ending')
        self._refused(earlier, error)
        raise error

    def apply(self, parameters: NodeParameters, names: Collection[str]) -> None:
        """Follow parameters that need no other model, from the next frame on.

        Args:
            parameters: all of them.
            names: of those that were set.

        Raises:
            ConfigError: the scale source does not fit a model; nothing is changed.
        """
        with self._lock:
            pending = self._pending
            if pending is None:
                if self._named is not None and self._loaded is None:
                    check_scale(parameters, self._named)
                self._processor.apply(parameters)
                return
            check_scale(parameters, pending.request.model)
            before = {name: v for name, v in pending.before.items() if name not in names}
            self._processor.apply(dataclasses.replace(parameters, **before))
            pending.parameters, pending.before = parameters, before

    def take_back(self) -> dict[str, Any]:
        """Parameters that hold no longer since their model failed, as they are to be again."""
        with self._lock:
            back, self._back = self._back, {}
            return back

    def close(self) -> None:
        """Cancel a model that is being loaded, and give the running one back."""
        self._loader.close()
        self._processor.close()

    def _refused(self, earlier: _Pending | None, error: DepthRosError) -> None:
        """Go on with what there was before a model that its asker is told of."""
        self._log(f'refused: {error}')
        if earlier is not None:
            self._ask_for(earlier)
        elif self._loaded is None:
            self._report(error, 'no model is loaded', Level.ERROR)
        else:
            self._diagnostics.node.clear(Trouble.MODEL)

    def _report(self, error: DepthRosError, state: str, level: Level) -> None:
        self._diagnostics.node.report(Trouble.MODEL, Problem(level, f'{error} ({state})'))

    def _ask_for(self, pending: _Pending) -> None:
        with self._lock:
            self._pending = pending
            self._named = pending.request.model
            self._loader.request(pending.request)

    def _wait(self, pending: _Pending) -> None:
        until = time.monotonic() + _PATIENCE_S
        published = time.monotonic()
        while not pending.done.wait(0.1) and time.monotonic() < until:
            if self._ending.is_set():
                return
            if time.monotonic() - published >= _PUBLISHED_S:
                published = time.monotonic()
                self._diagnostics.publish()

    def _on_loaded(self, loaded: LoadedModel) -> None:
        """On the loader's thread."""
        with self._lock:
            pending = self._pending
            if pending is None or pending.request is not loaded.request:
                raise LoadingCancelledError('another model is wanted')
            self._processor.install(loaded, pending.parameters)
            old, self._loaded, self._pending = self._loaded, loaded, None
        model, pipeline = loaded.request.model, loaded.pipeline
        self._log(
            f'model {model.spec.name} runs on {pipeline.description}, loaded in '
            f'{loaded.seconds:.1f} s; frames are answered {loaded.batching}'
            + ('' if old is None else '; odometry starts anew')
        )
        monitor = self._diagnostics.node
        monitor.clear(Trouble.MODEL, Trouble.BACKEND)
        if pipeline.caveat:
            monitor.report(Trouble.BACKEND, Problem(Level.WARN, pipeline.caveat))
        self._diagnostics.publish()
        pending.done.set()

    def _on_failed(self, request: LoadRequest, error: DepthRosError) -> None:
        """On the loader's thread."""
        with self._lock:
            pending = self._pending
            if pending is None or pending.request is not request:
                return
            pending.error = error
            pending.done.set()
            if not pending.accepted:  # whoever waits tells it
                return
            self._pending = None
            self._back.update(pending.before)
            resumed = pending.resumed
        if self._loaded is None:
            self._report(error, 'no model is loaded', Level.ERROR)
        else:
            names = ', '.join(sorted(pending.before))
            name = self._loaded.request.model.spec.name
            self._report(error, f'{name} runs on; set back: {names}', Level.WARN)
        if resumed is not None:
            self._ask_for(resumed)
        if pending.before:
            self._failed_late()

    def _on_told(self, text: str) -> None:
        """On the loader's thread."""
        self._log(text)
        self._diagnostics.publish()


def check_scale(parameters: NodeParameters, model: Model) -> None:
    """Refuse a scale source, or its smoothing, that does not fit a model.

    Raises:
        ConfigError: it does not.
    """
    check_smoothing(parameters.scale_smoothing, model.spec)
    for camera in parameters.cameras:
        make_scale(parameters.track_settings(camera).scale, model.spec)
