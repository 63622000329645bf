"""Which of the processes that train together this one is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: number of this one; 0 writes logs, checkpoints and the model.
        count: of all processes.
        local_count: of those on this machine.
    """

    rank: int = 0
    count: int = 1
    local_count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @property
    def machines(self) -> int:
        """How many machines take part, each with as many processes."""
        return self.count // self.local_count

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the first one's statistics of batch norm."""
        if self.count > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, src=0)

    def add_up(self, values: Tensor) -> None:
        """Replace values by their sums over all processes, the same bits in each."""
        if self.count > 1:
            distributed.all_reduce(values)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()


def launched_ranks() -> Ranks:
    """What torchrun says in the environment; ALONE where it did not start this process."""
    if not distributed.is_torchelastic_launched():
        return ALONE
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE')
    return Ranks(*(int(os.environ[name]) for name in names))
