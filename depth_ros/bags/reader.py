"""Reads messages of any bag: rosbag2 (sqlite3, MCAP; folders and single files) and ROS 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from depth_ros.bags.bounds import bound_messages, require_inside
from depth_ros.errors import BagError

_FILE_ENDINGS = ('.mcap', '.db3', '.bag')
_IDL_SEPARATOR = '=' * 80 + '\n'


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its name, message type (pkg/msg/Name) and number of messages."""

    name: str
    type: str
    count: int


class BagReader:
    """An open bag; use it as a context manager.

    Message types are looked up in the bag itself, topic by topic and only for topics that are
    read, so that an unknown or broken type on another topic does no harm.

    Attributes:
        path: of the bag.
        topics: what it holds, by name.
        start_ns: time of its first message [ns since the epoch].
        end_ns: time after its last message.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a bag.

        Raises:
            BagError: there is none, it is damaged, or its format is not supported.
        """
        self.path = Path(path)
        file = _storage(self.path)
        if file.is_dir():
            require_inside(file)
        _check_size(file)
        self._is_ros1 = file.suffix == '.bag'
        self._stores: dict[str, Typestore] = {}
        try:
            self._reader: Reader1 | Reader2 = Reader1(file) if self._is_ros1 else Reader2(file)
            self._reader.open()
            _bound(self._reader)
        except Exception as error:
            # The parsers meet damaged bytes with whatever exception happens to result.
            raise BagError(f'bag {self.path} cannot be opened: {_one_line(error)}') from None
        counts: dict[str, Topic] = {}
        for connection in self._reader.connections:
            known = counts.get(connection.topic)
            total = connection.msgcount + (known.count if known else 0)
            kind = known.type if known else connection.msgtype
            counts[connection.topic] = Topic(connection.topic, kind, total)
        self.topics: tuple[Topic, ...] = tuple(counts[name] for name in sorted(counts))
        self.start_ns = int(self._reader.start_time)
        self.end_ns = int(self._reader.end_time)

    def __enter__(self) -> BagReader:
        """The reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bag."""
        self.close()

    def close(self) -> None:
        """Close the bag; harmless where it is closed already."""
        if self._reader is not None:
            reader, self._reader = self._reader, None  # type: ignore[assignment]
            reader.close()

    def topic(self, name: str) -> Topic:
        """The topic of this name.

        Raises:
            BagError: there is none; the message lists those that there are.
        """
        for topic in self.topics:
            if topic.name == name:
                return topic
        raise BagError(
            f'bag {self.path} has no topic {name}; it has: '
            f'{", ".join(topic.name for topic in self.topics) or "none"}'
        )

    def messages(self, topics: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
        """Messages of some topics in order of recording: topic, time of recording [ns], message.

        Raises:
            BagError: a topic is not in the bag, its type is unknown, or the bag is damaged.
        """
        for connection, time_ns, data in self._raw(topics):
            kind, store = connection.msgtype, self._store(connection)
            try:
                if self._is_ros1:
                    message = store.deserialize_ros1(data, kind)
                else:
                    message = store.deserialize_cdr(data, kind)
            except Exception as error:
                raise self._damaged(connection, error) from None
            yield connection.topic, time_ns, message

    def serialized(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """The same messages as the CDR bytes that ROS 2 publishes.

        Raises:
            BagError: a topic is not in the bag, its type is unknown, or the bag is damaged.
        """
        for connection, time_ns, data in self._raw(topics):
            if not self._is_ros1:
                yield connection.topic, time_ns, data
                continue
            try:
                converted = self._store(connection).ros1_to_cdr(data, connection.msgtype)
            except Exception as error:
                raise self._damaged(connection, error) from None
            yield connection.topic, time_ns, bytes(converted)

    def _raw(self, topics: Sequence[str]) -> Iterator[tuple[Connection, int, bytes]]:
        for name in topics:
            self.topic(name)
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        for connection in connections:
            self._store(connection)
        raw = iter(self._reader.messages(connections))
        while True:
            try:
                connection, time_ns, data = next(raw)
            except StopIteration:
                return
            except Exception as error:
                raise BagError(f'bag {self.path} is damaged: {_one_line(error)}') from None
            yield connection, int(time_ns), data

    def _damaged(self, connection: Connection, error: Exception) -> BagError:
        return BagError(
            f'bag {self.path} is damaged: a message of {connection.topic} is no '
            f'{connection.msgtype} ({_one_line(error)})'
        )

    def first(self, topic: str) -> Any | None:
        """The first message of a topic, None where it has none."""
        for _, _, message in self.messages([topic]):
            return message
        return None

    def frame_of(self, topic: str) -> str:
        """The frame that the header of a topic's first message names.

        Raises:
            BagError: the topic is not in the bag, or has no messages.
        """
        message = self.first(topic)
        if message is None:
            raise BagError(f'topic {topic} of bag {self.path} has no messages')
        return str(message.header.frame_id)

    def _store(self, connection: Connection) -> Typestore:
        """Definitions to read one topic with: the bag's own, else those of a distribution."""
        kind = connection.msgtype
        if kind not in self._stores:
            self._stores[kind] = _embedded(connection) or get_typestore(
                Stores.ROS1_NOETIC if self._is_ros1 else Stores.ROS2_JAZZY
            )
        if kind not in self._stores[kind].fielddefs:
            raise BagError(
                f'topic {connection.topic} of bag {self.path} has the type {kind}, which is '
                f'unknown and whose definition is not in the bag'
            )
        return self._stores[kind]


def _storage(path: Path) -> Path:
    """What to open: the file or folder itself, or the only bag file of a bare folder."""
    if not path.exists():
        raise BagError(f'bag {path} does not exist')
    if path.is_file():
        if path.suffix not in _FILE_ENDINGS:
            raise BagError(
                f'{path} is not a bag: its name must end in {", ".join(_FILE_ENDINGS)}, or be a '
                f'folder with metadata.yaml'
            )
        return path
    if (path / 'metadata.yaml').exists():
        return path
    files = _storage_files(path)
    if len(files) == 1:
        return files[0]
    if files:
        raise BagError(
            f'folder {path} has no metadata.yaml and {len(files)} bag files; name one of them, '
            f'or mend it with: ros2 bag reindex {path}'
        )
    raise BagError(f'folder {path} is not a bag: it has no metadata.yaml and no bag file')


def _storage_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in _FILE_ENDINGS)


def _bound(reader: Reader1 | Reader2) -> None:
    if not isinstance(reader, Reader1):
        bound_messages(getattr(reader.storage, 'storages', [reader.storage]))


def _check_size(path: Path) -> None:
    """Refuse sqlite3 files shorter than their own header says; SQLite reads what is left of them.

    Header: https://www.sqlite.org/fileformat.html#the_database_header
    """
    files = [path] if path.is_file() else sorted(path.glob('*.db3'))
    for file in files:
        if file.suffix != '.db3':
            continue
        with file.open('rb') as stream:
            header = stream.read(100)
        page = int.from_bytes(header[16:18], 'big')
        pages = int.from_bytes(header[28:32], 'big')
        told = header[24:28] == header[92:96]  # the page count is kept up to date
        if told and pages * (65536 if page == 1 else page) > file.stat().st_size:
            raise BagError(f'bag {file} is truncated')


def _embedded(connection: Connection) -> Typestore | None:
    """Definitions that came with a topic; None where there are none that can be understood."""
    definition = connection.msgdef
    if definition.format is MessageDefinitionFormat.NONE or not definition.data:
        return None
    try:
        store = get_typestore(Stores.EMPTY)
        if definition.format is MessageDefinitionFormat.MSG:
            store.register(get_types_from_msg(definition.data, connection.msgtype))
        else:
            for part in definition.data.split(_IDL_SEPARATOR):
                text = part.partition('\n')[2] if part.startswith('IDL: ') else part
                if text.strip():
                    store.register(get_types_from_idl(text))
        # Fails where the definition refers to types that did not come with it.
        store.generate_msgdef(connection.msgtype)
        return store
    except Exception:
        # Definitions are free text written by others; the distribution's own may still do.
        return None


def _one_line(error: BaseException) -> str:
    text = ' '.join(str(error).split())
    return text if text else type(error).__name__
