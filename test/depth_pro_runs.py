"""Runs of a Depth Pro small enough for tests."""

from __future__ import annotations

from pathlib import Path

from helpers import quiet
from training_runs import ROOT

from training.config import TrainConfig
from training.train import RunPaths, run_training

SMALL = ROOT / 'config/training/depth_pro_small.yaml'
TINY = (
    'data.width=128', 'data.height=128', 'depth_pro.network.vit_depth=2',
    'depth_pro.network.vit=vit_tiny_patch16_224', 'depth_pro.vit_weights=none',
    'depth_pro.encoder_lr=5e-4', 'depth_pro.freeze_norms=false', 'run.precision=fp32',
    'depth_pro.network.window_px=32', 'depth_pro.network.latent_blocks=[0,1]',
    'depth_pro.network.widths=[16,16,16]', 'depth_pro.network.width=16',
    'run.threads=1', 'run.log_every=1', 'run.epochs=2', 'run.steps_per_epoch=6',
    'run.checkpoint_every=4',
    'run.batch_size=2', 'optimizer.warmup_steps=2', 'optimizer.ema_decay=0.9',
    'export.evaluate=false', 'data.validation_share=0.25',
)  # fmt: skip


def train(folder: Path, config: TrainConfig, init: Path | None = None) -> RunPaths:
    paths = RunPaths(folder / 'model', folder / 'run', init)
    run_training(config, paths, quiet)
    return paths
