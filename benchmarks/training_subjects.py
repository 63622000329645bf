"""What benchmarks/training.py compares: data alone, the plain trainer, this trainer."""

from __future__ import annotations

import copy
import enum
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_monodepth2 import JpegTriples, Phases, PlainBatch, PlainTrainer
from benchmarks.plain_networks import PlainNetworks
from depth_ros import bags
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cli.train import find_preset
from depth_ros.synthetic import SyntheticBag, write_bag
from training.allocator import keep_freed_memory
from training.config import ArithmeticPrecision, BagSource, TrainConfig
from training.config.presets import load_config
from training.data import augment
from training.data.batch import NEXT, PREVIOUS, TARGET, Batch
from training.data.module import FrameDataModule, prepare_data
from training.fitting import be_quiet
from training.geometry import intrinsics_matrix
from training.official.monodepth2_files import load_official
from training.tasks.objective import Networks
from training.tasks.self_supervised import SelfSupervisedTask

# KITTI's images, which the plain loader decodes and resizes at every step.
CAMERA = Intrinsics(721.5, 721.5, 609.6, 172.9, 1242, 375)
JPEG_QUALITY = 92
LAYERS = 18
_MANY = 1_000_000


class Kind(enum.Enum):
    """What trains, or only loads."""

    PLAIN = 'plain'
    DATA = 'this, data only'
    FP32 = 'this, fp32'
    BEST = 'this, best setting'


@dataclass(frozen=True)
class Workplace:
    """What the subjects share: a bag, the same frames as JPEG files, and the machine's part.

    Attributes:
        folder: holds bag, jpegs and the frame cache.
        width, height: of the network's images.
        batch_size: samples a step.
        threads: of torch on the CPU.
        device: 'cpu' or 'cuda'.
        best: what makes the best setting of the trainer, as for --set.
    """

    folder: Path
    width: int
    height: int
    batch_size: int
    threads: int
    device: str
    best: tuple[str, ...]

    def config(self, *overrides: str) -> TrainConfig:
        """Monodepth2's preset at this size."""
        settings = [
            f'data.width={self.width}', f'data.height={self.height}',
            f'data.cache={self.folder / "cache"}', 'data.validation_share=0',
            f'run.batch_size={self.batch_size}', f'run.device={self.device}',
            f'run.threads={self.threads}', f'run.steps_per_epoch={_MANY}', *overrides,
        ]  # fmt: skip
        bag = BagSource(self.folder / 'bag')
        return load_config(find_preset('monodepth2'), settings, [bag])


    @property
    def best_is_bf16(self) -> bool:
        """Whether the best setting computes in bf16."""
        return self.config(*self.best).run.precision is ArithmeticPrecision.BF16


@dataclass(frozen=True)
class Turn:
    """Seconds a step of one turn, and of the plain trainer what they went into (of all steps).

    cpu_s are the seconds that the cores worked for the process: where others keep them busy, they
    tell more than the clock, with one thread.
    """

    step_s: float
    cpu_s: float
    phases: Phases | None = None
    ssim_s: float = 0.0


@dataclass(frozen=True)
class Agreement:
    """Both losses on the same weights and images, and how far the gradients are apart."""

    plain_loss: float
    our_loss: float
    gradient_difference: float

    @property
    def loss_difference(self) -> float:
        """Absolute."""
        return abs(self.plain_loss - self.our_loss)


def render(place: Workplace, frames: int, camera: Intrinsics = CAMERA) -> None:
    """Fill the workplace: a bag of a rendered room, and its frames as JPEG files."""
    write_bag(place.folder / 'bag', SyntheticBag(4, frames, 8.0, camera))
    jpegs = place.folder / 'jpegs'
    jpegs.mkdir()
    with bags.BagReader(place.folder / 'bag') as reader:
        topics = bags.find_camera_topics(reader)
    for frame in bags.read_frames(place.folder / 'bag', topics):
        picture = Image.fromarray(frame.image)
        picture.save(jpegs / f'{frame.index:06d}.jpg', quality=JPEG_QUALITY)


class PlainSubject:
    """Monodepth2's step as the paper reads."""

    def __init__(self, place: Workplace) -> None:
        camera = CAMERA.scaled(place.width, place.height)
        self._place = place
        self._data = JpegTriples(place.folder / 'jpegs', camera)
        self._trainer = PlainTrainer(PlainNetworks(LAYERS), torch.device(place.device))

    def run(self, steps: int) -> Turn:
        """Train for so many steps."""
        phases, began_s = Phases(), time.process_time()
        for _ in range(steps):
            self._trainer.step(lambda: self._data.batch(self._place.batch_size), phases)
        cpu_s = (time.process_time() - began_s) / steps
        return Turn(phases.total / steps, cpu_s, phases, self._ssim_seconds())

    def _ssim_seconds(self) -> float:
        """What a step spends on SSIM: 8 unmoved sources, 8 warped ones with gradient."""
        place, trainer = self._place, self._trainer
        shape = (place.batch_size, 3, place.height, place.width)
        target = torch.rand(shape, device=place.device)
        warped = [torch.rand(shape, device=place.device).requires_grad_() for _ in range(8)]
        began = trainer.now()
        with torch.no_grad():
            for _ in range(8):
                trainer.criterion.ssim(target, target)
        for one in warped:
            trainer.criterion.ssim(one, target).mean().backward()
        return trainer.now() - began


class TrainerSubject:
    """This trainer, within Lightning's loop as a run has it."""

    def __init__(self, place: Workplace, *settings: str) -> None:
        keep_freed_memory()
        self._config = place.config(*settings)
        self._data = prepare_data(self._config, _quiet)
        fx = self._data.training.fx
        self._task = SelfSupervisedTask(self._config, fx, total_steps=_MANY)

    def run(self, steps: int) -> Turn:
        """Train for so many steps after one that does not count."""
        clock = _Clock()
        trainer = pl.Trainer(
            accelerator='gpu' if self._config.run.device == 'cuda' else 'cpu',
            devices=1,
            max_steps=steps + 1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            callbacks=[clock],
        )
        trainer.fit(self._task, FrameDataModule(self._config, self._data))
        return Turn(*((end - begin) / steps for begin, end in zip(clock.first, clock.last)))


class DataSubject:
    """This trainer's batches, loaded and augmented but not trained on."""

    def __init__(self, place: Workplace) -> None:
        keep_freed_memory()
        self._config = place.config()
        module = FrameDataModule(self._config, prepare_data(self._config, _quiet))
        self._batches = iter(module.train_dataloader())

    def run(self, steps: int) -> Turn:
        """Load so many steps."""
        device = torch.device(self._config.run.device)
        began = _clocks(device)
        for step in range(steps):
            batch = Batch(*(field.to(device) for field in next(self._batches)))
            augment.augmented(self._config.augment, self._config.run.seed, step, batch)
        return Turn(*((end - begin) / steps for begin, end in zip(began, _clocks(device))))


class _Clock(pl.Callback):
    """The clocks at the end of the first and of the last step."""

    def __init__(self) -> None:
        self.first = self.last = (0.0, 0.0)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Read them."""
        if trainer.global_step == 1:
            self.first = _clocks(pl_module.device)
        elif trainer.global_step == trainer.max_steps:
            self.last = _clocks(pl_module.device)


def _clocks(device: torch.device) -> tuple[float, float]:
    """Seconds of the wall and of the process's cores, all work on the device done."""
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def subject(kind: Kind, place: Workplace) -> PlainSubject | TrainerSubject | DataSubject:
    """Make one subject in the present process, whose threads and allocator it sets."""
    be_quiet()
    torch.set_num_threads(place.threads)
    if kind is Kind.PLAIN:
        return PlainSubject(place)
    if kind is Kind.DATA:
        return DataSubject(place)
    return TrainerSubject(place, *(place.best if kind is Kind.BEST else ()))


def agreement(place: Workplace) -> Agreement:
    """Evaluate both losses with the same random weights on the same images.

    Batch norm uses its running statistics: the trainer shows the pose network all pairs at once,
    the plain one pair by pair, whose own statistics differ.
    """
    torch.manual_seed(0)
    plain = PlainNetworks(LAYERS).eval()
    config = place.config('run.device=cpu')
    data = prepare_data(config, _quiet)
    batch = next(iter(FrameDataModule(config, data).train_dataloader()))
    images01 = augment.to_unit_images(batch.images)
    task = SelfSupervisedTask(config, data.training.fx, total_steps=_MANY)
    assert task.pose_net is not None
    task.eval()
    official = plain.save(place.folder / 'official', place.width, place.height)
    load_official(official, task.depth_net, task.pose_net)
    networks = Networks(task.depth_net, task.pose_net)
    our_loss = task.objective(networks, batch, images01, images01).total
    our_loss.backward()
    plain_loss = PlainTrainer(plain, torch.device('cpu')).loss(
        _as_plain(batch, images01), Phases()
    )
    plain_loss.backward()
    # Gradients take the way of weights from the official names to ours.
    for parameter in plain.parameters():
        parameter.data = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    expected = copy.deepcopy(task)
    plain.save(official, place.width, place.height)
    load_official(official, expected.depth_net, expected.pose_net)
    pairs = list(zip(task.parameters(), expected.parameters()))
    with torch.no_grad():
        error = sum(float((one.grad - theirs).square().sum()) for one, theirs in pairs)
        size = sum(float(theirs.square().sum()) for _, theirs in pairs)
    return Agreement(plain_loss.item(), our_loss.item(), math.sqrt(error / size))


def count_operations(place: Workplace) -> float:
    """Floating point operations of the convolutions and products of one step, both ways."""
    plain = PlainNetworks(LAYERS)
    frame = torch.zeros(place.batch_size, 3, place.height, place.width)
    with FlopCounterMode(display=False) as counter:
        motions = plain.motion(frame, frame).sum() + plain.motion(frame, frame).sum()
        (sum(one.sum() for one in plain.disparities(frame)) + motions).backward()
    return float(counter.get_total_flops())


def _as_plain(batch: Batch, images01: Tensor) -> PlainBatch:
    """The same images for the plain loss, coarser scales by means as ours has them."""
    frames = [images01[:, frame] for frame in (PREVIOUS, TARGET, NEXT)]
    pyramids = [[frame, *(functional.avg_pool2d(frame, 2**s) for s in (1, 2, 3))]
                for frame in frames]  # fmt: skip
    return PlainBatch(pyramids, frames, intrinsics_matrix(batch.intrinsics))


def _quiet(_: str) -> None:
    """Nobody listens."""
