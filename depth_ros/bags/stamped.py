"""Messages of one topic by their stamps, decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from depth_ros.bags.reader import BagReader
from depth_ros.errors import MessageError
from depth_ros.messages.stamps import stamp_ns

T = TypeVar('T')


def read_stamped(
    path: Path | str,
    topic: str,
    decode: Callable[[Any], T],
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> Iterator[tuple[int, T]]:
    """Stamps [ns] and what `decode` makes of the messages, in the order of recording.

    Only messages stamped within `from_ns` <= stamp < `to_ns` are decoded.

    Raises:
        BagError: the topic is not in the bag, or the bag is damaged.
        MessageError: `decode` refuses a message; the topic and the bag are named.
    """
    with BagReader(path) as reader:
        for _, _, message in reader.messages([topic]):
            stamp = stamp_ns(message.header)
            if (from_ns is not None and stamp < from_ns) or (to_ns is not None and stamp >= to_ns):
                continue
            try:
                decoded = decode(message)
            except MessageError as error:
                raise MessageError(f'{topic} of bag {path}: {error}') from None
            yield stamp, decoded
