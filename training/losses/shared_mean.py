"""Means over what is known, when several processes share a batch."""

import torch
from torch import Tensor, distributed


def shared_mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count over the batches of all processes that train together, 0 where count is 0.

    total: sums over what is known in this process's batch, any shape; count: how much that is,
    same shape. The known are spread unevenly over the processes, and the mean of their means is
    not the mean. The value is that of the whole; the gradient of this process's part is
    multiplied by the number of processes, by which averaging gradients divides it again, so that
    all together step as one process with all batches would.

    Without gradients, as in validation, the mean is that of this process alone: batches are then
    as many as each has.
    """
    if not (torch.is_grad_enabled() and distributed.is_available()
            and distributed.is_initialized()):  # fmt: skip
        return total / count.clamp(min=1)
    sums = torch.stack([total.detach(), count.to(total)])
    distributed.all_reduce(sums)
    whole_total, whole_count = sums[0], sums[1].clamp(min=1)
    share = total * (distributed.get_world_size() / whole_count)
    return share + (whole_total / whole_count - share).detach()
