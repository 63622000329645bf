"""The TensorRT that is installed: 10 or 11, or TensorRT-RTX, which differ in little."""

from __future__ import annotations

import enum
import importlib
import logging
from collections import deque
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from depth_ros.errors import BackendError

_OLDEST_MAJOR = 10
_LOGGER = logging.getLogger(__name__)
_LOGGERS: dict[str, Any] = {}
"""TensorRT's own, by the name of its module."""


class Flavour(enum.Enum):
    """Which product it is."""

    TENSORRT = 'tensorrt'
    RTX = 'tensorrt-rtx'


_MODULES = (
    ('tensorrt', Flavour.TENSORRT),
    ('tensorrt_rtx', Flavour.RTX),
    ('tensorrt_rtx_bindings', Flavour.RTX),
)
"""In the order of preference."""
_CURE = (
    'on a Jetson it comes with JetPack, on a desktop `pip install tensorrt-rtx-cu13-libs '
    'tensorrt-rtx-cu13-bindings`'
)


@dataclass(frozen=True)
class Library:
    """TensorRT as a Python module."""

    flavour: Flavour
    version: str
    api: Any

    @property
    def builds_for_other_gpus(self) -> bool:
        """Whether engines can be built for GPUs that are not here."""
        return hasattr(self.api.IBuilderConfig, 'set_compute_capability')

    @property
    def has_fp16_flag(self) -> bool:
        """Whether single-precision files can be built in half precision."""
        return self.flavour is Flavour.TENSORRT and hasattr(self.api.BuilderFlag, 'FP16')

    def __str__(self) -> str:
        """As in 'TensorRT-RTX 1.7.0.1'."""
        name = 'TensorRT-RTX' if self.flavour is Flavour.RTX else 'TensorRT'
        return f'{name} {self.version}'


def is_installed() -> bool:
    """Whether some TensorRT could be imported; imports nothing."""
    return any(find_spec(name) is not None for name, _ in _MODULES)


def find_library() -> Library:
    """Import TensorRT.

    Raises:
        BackendError: none is installed, it does not load, or it is too old.
    """
    problems = []
    for name, flavour in _MODULES:
        try:
            api = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                problems.append(f'{name} does not load ({error})')
        except (ImportError, OSError, RuntimeError) as error:  # a shared library is missing
            problems.append(f'{name} does not load ({str(error).strip().splitlines()[0]})')
        else:
            library = Library(flavour, api.__version__, api)
            if flavour is Flavour.RTX or int(library.version.split('.', 1)[0]) >= _OLDEST_MAJOR:
                return library
            problems.append(f'{library} is too old, {_OLDEST_MAJOR} or newer is needed')
    what = '; '.join(problems) or 'TensorRT is not installed'
    raise BackendError(f'{what}; {_CURE}, or use backend auto')


class Log:
    """What TensorRT told the logger since this was made.

    A process has one logger: TensorRT keeps the first that it is given, and ignores others.
    """

    def __init__(self, library: Library) -> None:
        """Begin to listen."""
        self.logger = _logger_of(library)
        self._told = self.logger.told

    def last_error(self) -> str:
        """The first line of the last error; empty where there was none."""
        told = self.logger.told - self._told
        return self.logger.errors[-1] if told else ''


def _logger_of(library: Library) -> Any:
    name = library.api.__name__
    if name not in _LOGGERS:
        levels = library.api.ILogger
        quiet = {levels.INFO, levels.VERBOSE}
        fatal = {levels.ERROR, levels.INTERNAL_ERROR}

        class Logger(library.api.ILogger):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                library.api.ILogger.__init__(self)
                self.errors: deque[str] = deque(maxlen=8)
                self.told = 0

            def log(self, severity: Any, message: str) -> None:
                if severity in fatal:
                    text = message.strip() or 'an error without words'
                    self.errors.append(text.splitlines()[0])
                    self.told += 1
                elif severity not in quiet:
                    _LOGGER.info('%s: %s', library, message)

        _LOGGERS[name] = Logger()
    return _LOGGERS[name]
