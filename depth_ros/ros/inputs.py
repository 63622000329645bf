"""What the node receives: images and camera_info."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_ros.cameras.camera_names import camera_topic
from depth_ros.errors import MessageError
from depth_ros.messages.camera_infos import CameraInfos
from depth_ros.parameters import ImageTransport
from depth_ros.ros.raw_image import RawImage
from depth_ros.ros.receiving import Receiving
from depth_ros.ros.serialized import AFTER_STAMP, header_stamp_ns

_INFO_PATIENCE_S = 2.0
"""So long after they are opened a publisher of camera_info may still be discovered."""
_INFOS_KEPT = 5
_LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=_INFOS_KEPT,
    reliability=ReliabilityPolicy.RELIABLE,  # best effort gets nothing of before
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


@dataclass(frozen=True)
class Arrival:
    """An image message and when it came."""

    message: bytes
    """As it was sent."""
    arrived_s: float
    """By time.monotonic()."""
    transport: ImageTransport = ImageTransport.RAW
    """Raw: the message is a sensor_msgs/Image; else a CompressedImage."""

    def read(self) -> RawImage | CompressedImage:
        """The message's fields.

        Raises:
            MessageError: the bytes are no image.
        """
        if self.transport is ImageTransport.RAW:
            return RawImage.read(self.message)
        try:
            return deserialize_message(self.message, CompressedImage)
        except RuntimeError as error:
            raise MessageError(
                f'{len(self.message)} bytes are no serialised sensor_msgs/CompressedImage: {error}'
            ) from error


@dataclass(frozen=True)
class Silence:
    """How long nothing has come."""

    image_s: float
    """Since the last image, or since the inputs were opened."""
    infos_since_image: int
    """camera_info messages in that time."""


def image_topic(node: LifecycleNode, camera: str, transport: ImageTransport) -> str:
    """The full name of the topic that images of a camera come on.

    As with image_transport, remapping `image` moves the compressed topic below it too.
    """
    base = node.resolve_topic_name(camera_topic(camera, 'image'))
    return base if transport is ImageTransport.RAW else f'{base}/compressed'


class Inputs:
    """The subscriptions of one camera of an active node; an inactive one receives nothing.

    Best effort matches every publisher; images are kept one deep, since only the newest counts.
    A camera_info that was published before, and latched (transient local), needs a subscription of
    its own: see `take_latched`.

    Attributes:
        unreadable_info: what was wrong with the last camera_info; empty: nothing.
    """

    def __init__(
        self,
        node: LifecycleNode,
        camera: str,
        transport: ImageTransport,
        infos: CameraInfos,
        take_image: Callable[[Arrival], None],
        answer: Callable[[Callable[[], None]], None],
        group: CallbackGroup,
        failed: Callable[[str], object],
        unreadable: Callable[[str], object],
    ) -> None:
        """Subscribe.

        Args:
            node: subscribes.
            camera: its name.
            transport: raw or compressed images.
            infos: where camera_info is stored.
            take_image: where images are stored.
            answer: called then, see Receiving.
            group: of subscriptions that no executor may take.
            failed: told of messages that cannot be taken.
            unreadable: told of messages that are no camera_info.
        """
        self._node = node
        self._infos = infos
        self._take_image = take_image
        self._transport = transport
        self._opened_s = self._last_image_s = time.monotonic()
        self._image_came = False
        self._infos_since_image = 0
        self._known_info: tuple[bytes, CameraInfo] | None = None
        self.unreadable_info = ''
        self._takes_latched = False
        self._unreadable = unreadable
        self._group, self._failed = group, failed
        self.image_name = camera_topic(camera, 'image')
        self.image_topic = image_topic(node, camera, transport)
        self.info_name = camera_topic(camera, 'camera_info')
        self.info_topic = node.resolve_topic_name(self.info_name)
        image_type = Image if transport is ImageTransport.RAW else CompressedImage
        self._subscriptions: list[Subscription] = []
        self._receiving: list[Receiving] = []
        with ExitStack() as made:  # given back where a later step fails
            made.callback(self.destroy)
            for message_type, topic, callback, depth in (
                (image_type, self.image_topic, self._on_image, 1),
                (CameraInfo, self.info_name, self._on_info, _INFOS_KEPT),
            ):
                self._subscriptions.append(
                    node.create_subscription(
                        message_type,
                        topic,
                        callback,
                        _sensor_qos(depth),
                        callback_group=group,
                        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                        raw=True,
                    )
                )
            own = tuple(self._subscriptions)
            self.take_latched()
            # Last: what fails now would wait for its threads, which may be answering already.
            self._receiving.append(Receiving('inputs', node.context, own, failed, answer))
            made.pop_all()

    @property
    def publishers(self) -> int:
        """Publishers of the image topic."""
        return self._node.count_publishers(self.image_topic)

    @property
    def lacks_info(self) -> bool:
        """Whether there is no camera_info, though a publisher had the time to be discovered."""
        return not self.has_info and time.monotonic() - self._opened_s > _INFO_PATIENCE_S

    @property
    def image_came(self) -> bool:
        """Whether any image came since they were opened."""
        return self._image_came

    @property
    def info_publishers(self) -> int:
        """Publishers of the camera_info topic."""
        return self._node.count_publishers(self.info_topic)

    @property
    def has_info(self) -> bool:
        """Whether there is a camera_info."""
        return self._infos.has_any

    def silence(self) -> Silence:
        """How long no image has come."""
        return Silence(time.monotonic() - self._last_image_s, self._infos_since_image)

    def take_latched(self) -> None:
        """Subscribe to camera_info that is latched, where there is no other and none is yet.

        Only where somebody latches it: every other publisher would warn in its log of a
        subscriber that it cannot serve.
        """
        if self.has_info or self._takes_latched:
            return
        offers = self._node.get_publishers_info_by_topic(self.info_topic)
        if not any(one.qos_profile.durability is _LATCHED.durability for one in offers):
            return
        # Not to be overridden: with any other QoS it would be of no use.
        latched = self._node.create_subscription(
            CameraInfo,
            self.info_name,
            self._store_info,
            _LATCHED,
            callback_group=self._group,
            raw=True,
        )
        self._takes_latched = True
        self._subscriptions.append(latched)
        self._receiving.append(
            Receiving('latched', self._node.context, [latched], self._failed)
        )

    def destroy(self) -> None:
        """Unsubscribe."""
        for receiving in self._receiving:
            receiving.stop()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_image(self, message: bytes) -> None:
        self._image_came = True
        self._last_image_s = time.monotonic()
        self._infos_since_image = 0
        self._take_image(Arrival(message, self._last_image_s, self._transport))

    def _on_info(self, message: bytes) -> None:
        self._infos_since_image += 1
        self._store_info(message)

    def _store_info(self, message: bytes) -> None:
        """Read what a camera says of itself when it says something else than before."""
        content = message[AFTER_STAMP:]
        try:
            known = self._known_info  # the thread of latched messages may come between
            if known is None or content != known[0]:
                known = self._known_info = (content, deserialize_message(message, CameraInfo))
            self._infos.store(known[1], header_stamp_ns(message))
        except (RuntimeError, MessageError) as error:
            self.unreadable_info = (
                f'{len(message)} bytes on {self.info_topic} are no serialised '
                f'sensor_msgs/CameraInfo: {error}'
            )
            self._unreadable(self.unreadable_info)
        else:
            self.unreadable_info = ''


def _sensor_qos(depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )
