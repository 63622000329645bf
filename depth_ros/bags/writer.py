"""Writes rosbag2 bags; nothing half-written is ever left behind."""

from __future__ import annotations

import enum
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from depth_ros.errors import BagError
from depth_ros.messages.bag_messages import typestore


class Storage(enum.Enum):
    """File format of a bag."""

    MCAP = 'mcap'
    SQLITE3 = 'sqlite3'


_FOREVER = QosTime(9_223_372_036, 854_775_807)
"""What a recorder writes where nothing expires."""
_LATCHED = Qos(
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_FOREVER,
    lifespan=_FOREVER,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_FOREVER,
    avoid_ros_namespace_conventions=False,
)
_OFFERED = {'/tf_static': (_LATCHED,)}
"""How `ros2 bag play` is to offer a topic. Where nothing is said it offers it volatile, which
the listeners of tf2 do not match."""
_PLUGINS = {Storage.MCAP: StoragePlugin.MCAP, Storage.SQLITE3: StoragePlugin.SQLITE3}


class BagWriter:
    """A bag being written; use it as a context manager.

    The bag appears under its name only when the block ends well: until then it lies in a hidden
    folder beside it, which is deleted on an error.
    """

    def __init__(self, path: Path | str, storage: Storage = Storage.MCAP) -> None:
        """Prepare to write the bag folder `path`.

        Raises:
            BagError: it exists already.
        """
        self.path = Path(path)
        self._plugin = _PLUGINS[storage]
        self._aside: Path | None = None
        self._writer: Writer | None = None
        self._connections: dict[str, Connection] = {}
        if self.path.exists():
            raise BagError(f'{self.path} exists already; remove it or choose another name')

    @property
    def types(self) -> Typestore:
        """Definitions of the messages that can be written."""
        return typestore()

    def __enter__(self) -> BagWriter:
        """Start writing.

        Raises:
            BagError: the folder cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._aside = Path(tempfile.mkdtemp(dir=self.path.parent, prefix='.depth_ros_'))
            self._writer = Writer(
                self._aside / self.path.name, version=9, storage_plugin=self._plugin
            )
            self._writer.open()
        except OSError as error:
            self._discard()
            raise BagError(f'cannot write bag {self.path}: {error}') from None
        except BaseException:  # an interrupt
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the bag its name, or delete it after an error.

        Raises:
            BagError: the last bytes cannot be written.
        """
        assert self._writer is not None
        assert self._aside is not None
        try:
            self._writer.__exit__(kind, error, traceback)
            if kind is None:
                (self._aside / self.path.name).rename(self.path)
        except OSError as problem:
            raise BagError(f'cannot write bag {self.path}: {problem}') from None
        finally:
            self._discard()

    def write(self, topic: str, msgtype: str, stamp_ns: int, message: Any) -> None:
        """Add a message; topics appear as they are first written to, /tf_static as latched.

        Raises:
            BagError: it cannot be written, as on a full disk.
        """
        assert self._writer is not None
        try:
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, msgtype, typestore=self.types,
                    offered_qos_profiles=_OFFERED.get(topic, ()),
                )  # fmt: skip
            data = self.types.serialize_cdr(message, msgtype)
            self._writer.write(self._connections[topic], stamp_ns, data)
        except OSError as error:
            raise BagError(f'cannot write bag {self.path}: {error}') from None

    def _discard(self) -> None:
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
