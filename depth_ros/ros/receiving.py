"""Threads that take messages as they come.

For each message an executor of rclpy gathers the entities of its nodes anew, makes a wait set and
a coroutine of them, and wakes itself up twice more. Subscriptions that stay the same can be waited
for as rclpy.wait_for_message does it, which costs a tenth of that.

Work that a message brings is best done by the thread that took it, whose core is awake and has the
message in its cache; another thread receives meanwhile. Handing a camera image to a thread that
waits costs some 0.8 ms more. Source of the pattern: Leader/Followers, in Schmidt et al.,
Pattern-Oriented Software Architecture 2, 2000. To wake the other thread costs 0.2 ms by itself,
hence the one at work says whether that is worth while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rclpy.context import Context
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.logging import get_logger
from rclpy.subscription import Subscription

from depth_ros.ros.survival import survived

_FOREVER_NS = -1


class Receiving:
    """Calls the callbacks of subscriptions, which no executor must spin, until it is stopped."""

    def __init__(
        self,
        name: str,
        context: Context,
        subscriptions: Sequence[Subscription],
        failed: Callable[[str], object] | None = None,
        then: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """Receive from now on.

        Args:
            name: of the threads.
            context: of the node that subscribed.
            subscriptions: what to take, the most urgent first; not to be destroyed before `stop`.
            failed: told of what cannot be taken, and of callbacks that fail; None: the log is.
            then: called after callbacks, with a function to call where it will take its time:
                from there on a second thread receives.
        """
        self._context = context
        self._subscriptions = tuple(subscriptions)
        self._ending = False
        self._survived = survived(failed or get_logger(name).error)
        self._guard = GuardCondition(None, None, context=context)
        self._then = then
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._receive, name=name, daemon=True)
            for _ in range(1 if then is None else 2)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the callback that runs and what comes then, and take no more."""
        self._ending = True
        self._guard.trigger()
        for thread in self._threads:
            thread.join()
        self._guard.destroy()

    def _receive(self) -> None:
        subscriptions, context = self._subscriptions, self._context
        # What a subscription tells of its publishers, such as a QoS that does not fit. Data wake
        # whoever waits for this, so that no other thread may.
        events = [
            event
            for one in subscriptions
            for event in one.event_handlers  # type: ignore[attr-defined]  # a list, not one
        ]
        with ExitStack() as held:
            for held_entity in (*(one.handle for one in subscriptions), *events,
                                self._guard.handle, context.handle):  # fmt: skip
                held.enter_context(held_entity)
            wait_set = _rclpy.WaitSet(len(subscriptions), 1, 0, 0, 0, len(events), context.handle)
            turn = held.enter_context(_Turn(self._lock))
            while not self._ending and context.ok():
                with self._survived:
                    # Before its turn: the thread at work would wait for the interpreter meanwhile.
                    self._fill(wait_set, events)
                    turn.take()
                    if self._ending:
                        return
                    wait_set.wait(_FOREVER_NS)
                    self._take_ready(wait_set, events)
                    if self._then is not None:
                        self._then(turn.give)

    def _fill(self, wait_set: Any, events: Sequence[Any]) -> None:
        wait_set.clear_entities()
        for subscription in self._subscriptions:
            wait_set.add_subscription(subscription.handle)
        for event in events:
            event.add_to_wait_set(wait_set)
        wait_set.add_guard_condition(self._guard.handle)

    def _take_ready(self, wait_set: Any, events: Sequence[Any]) -> None:
        ready = wait_set.get_ready_entities('subscription')
        for subscription in self._subscriptions:
            if subscription.handle.pointer in ready:
                with self._survived:
                    _take(subscription)
        for event in events:
            if event.is_ready(wait_set):
                event.callback(event.take_data())


class _Turn:
    """A thread's turn to receive, which it keeps until it gives it to whoever waits for it."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._has = False

    def take(self) -> None:
        if not self._has:
            self._has = self._lock.acquire()

    def give(self) -> None:
        if self._has:
            self._has = False
            self._lock.release()

    def __enter__(self) -> _Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.give()


def _take(subscription: Subscription) -> None:
    """Hand over one message; another one that waits is ready at once."""
    taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is not None:
        subscription.callback(taken[0])
