"""What the training benchmark compares is the same method: loss and gradients agree."""

import pytest
import torch
from rendered_frames import CAMERA
from torch.nn import functional

from benchmarks.plain_monodepth2 import JpegTriples, Phases, PlainTrainer
from benchmarks.plain_networks import PlainNetworks
from benchmarks.training import GRADIENT_TOLERANCE, LOSS_TOLERANCE
from benchmarks.training_subjects import Workplace, agreement, render

WIDTH, HEIGHT = 96, 64


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    torch.set_num_threads(1)
    place = Workplace(tmp_path_factory.mktemp('bench'), WIDTH, HEIGHT, 2, 1, 'cpu', ())
    render(place, 10, CAMERA)
    return place


def test_plain_and_our_loss_and_gradients_agree(place: Workplace) -> None:
    found = agreement(place)
    assert found.plain_loss > 0.01
    assert found.loss_difference < LOSS_TOLERANCE
    assert found.gradient_difference < GRADIENT_TOLERANCE


def test_the_plain_trainer_learns_and_tells_its_phases(place: Workplace) -> None:
    torch.manual_seed(0)
    data = JpegTriples(place.folder / 'jpegs', CAMERA)
    trainer = PlainTrainer(PlainNetworks(18), torch.device('cpu'))
    before = {name: value.clone() for name, value in trainer.networks.named_parameters()}
    phases = Phases()
    assert 0 < trainer.step(lambda: data.batch(2), phases) < 1
    assert all(seconds > 0 for seconds in vars(phases).values())
    unchanged = [name for name, value in trainer.networks.named_parameters()
                 if torch.equal(value, before[name])]  # fmt: skip
    assert unchanged == [name for name in before if '.fc.' in name]


def test_the_plain_loader_makes_four_scales(place: Workplace) -> None:
    batch = JpegTriples(place.folder / 'jpegs', CAMERA).batch(4)
    for pyramid in batch.pyramids:
        for scale, level in enumerate(pyramid):
            assert tuple(level.shape) == (4, 3, HEIGHT >> scale, WIDTH >> scale)
            mean = functional.avg_pool2d(pyramid[0], 2**scale)
            assert float((level - mean).abs().mean()) < 0.03
