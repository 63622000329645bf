"""A ROS domain that nobody on this machine uses, for demos and tests."""

from __future__ import annotations

import random
import socket

_HIGHEST = 100
"""Above it the ports of DDS meet those that Linux hands out."""

_FIRST_PORT, _PORTS_A_DOMAIN = 7410, 250
"""The port that the first participant of a domain listens on (DDSI-RTPS 2.2, 9.6.1.1)."""


def pick_free_domain() -> int:
    """A random domain in which no process takes part; any, where all are taken."""
    domains = random.SystemRandom().sample(range(1, _HIGHEST + 1), _HIGHEST)
    return next((domain for domain in domains if _is_free(domain)), domains[0])


def _is_free(domain: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', _FIRST_PORT + _PORTS_A_DOMAIN * domain))
        except OSError:
            return False
    return True
