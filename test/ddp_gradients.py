"""Gradients of the tiny networks on a part of a batch whose truth is spread unevenly.

As a script, started by torchrun: every process takes its part, and the first one saves what
Lightning's way of averaging makes of the gradients.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from training.config import BagSource
from training.config.presets import load_config
from training.data.batch import NEXT, Batch
from training.losses import photometric
from training.ranks import Ranks, launched_ranks
from training.tasks.objective import Networks
from training.tasks.self_supervised import SelfSupervisedTask

TINY = Path(__file__).parents[1] / 'config/training/tiny.yaml'
SAMPLES, WIDTH, HEIGHT, FOCAL = 4, 96, 64, 80.0
EVERY_LOSS = (
    'loss.depth=1', 'loss.motion=0.5', 'loss.velocity=0.3', 'loss.coarse=0.5',
    'loss.warp_by_teacher=true',
)  # fmt: skip


class _Whole(nn.Module):
    """The task's objective as the one module that DDP wants."""

    def __init__(self, task: SelfSupervisedTask) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch) -> Tensor:
        task, images01 = self.task, batch.images.permute(0, 1, 4, 2, 3) / 255
        networks = Networks(task.depth_net, task.pose_net, task.feature_net)
        return task.objective(networks, batch, images01, images01).total


def make_batch(samples: slice) -> Batch:
    """Some of SAMPLES smooth random samples; truth is known in one half of the first most."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(SAMPLES * 3, 3, HEIGHT // 8, WIDTH // 8, generator=generator)
    images = nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode='bilinear') * 255
    images = images.reshape(SAMPLES, 3, 3, HEIGHT, WIDTH).permute(0, 1, 3, 4, 2)
    depth_m = 1 + 3 * torch.rand(SAMPLES, HEIGHT, WIDTH, generator=generator)
    depth_m[1:, : HEIGHT // 2] = float('nan')
    depth_m[3, :, : WIDTH - 9] = float('nan')
    motion = torch.eye(4).repeat(SAMPLES, 2, 1, 1)
    motion[:, :, :3, 3] = 0.05 * torch.rand(SAMPLES, 2, 3, generator=generator)
    motion[2:, 0] = float('nan')
    travelled_m = motion[:, :, :3, 3].norm(dim=-1)
    travelled_m[1, 1] = float('nan')
    whole = Batch(
        images=images.round().to(torch.uint8),
        intrinsics=torch.tensor([FOCAL, FOCAL, 47.5, 31.5]).repeat(SAMPLES, 1),
        visible=torch.tensor([0.0, 0.0, WIDTH, HEIGHT]).repeat(SAMPLES, 1),
        depth_m=depth_m,
        target_T_previous=motion[:, 0],
        next_T_target=motion[:, 1],
        interval_s=torch.full((SAMPLES, 2), 0.1),
        stereo_T_target=torch.full((SAMPLES, 4, 4), float('nan')),
        travelled_m=travelled_m,
        truth_kind=torch.zeros(SAMPLES, dtype=torch.long),
    )
    return Batch(*(field[samples] for field in whole))


def gradients(ranks: Ranks) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradient of every parameter, batch norm frozen, no ties to break."""
    config = load_config(TINY, EVERY_LOSS, [BagSource(Path('none'))])
    task = SelfSupervisedTask(config, FOCAL, total_steps=10, ranks=ranks).eval()
    whole = _Whole(task)
    size = SAMPLES // ranks.count
    batch = make_batch(slice(ranks.rank * size, (ranks.rank + 1) * size))
    assert batch.images.shape[1] > NEXT
    module = DistributedDataParallel(whole) if ranks.count > 1 else whole
    with mock.patch.object(photometric, 'TIE_BREAKING_NOISE', 0.0):
        loss = module(batch)
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in whole.named_parameters() if p.grad is not None}


def main() -> None:
    """Be one of the processes."""
    torch.set_num_threads(1)
    ranks = launched_ranks()
    distributed.init_process_group('gloo')
    loss, found = gradients(ranks)
    if ranks.is_first:
        torch.save({'loss': loss, 'gradients': found}, sys.argv[1])
    distributed.destroy_process_group()


if __name__ == '__main__':
    main()
