"""Presets are read strictly: what is unknown or of the wrong type is refused by name."""

from pathlib import Path

import pytest
import yaml

from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Fit
from training.config import BagSource, MotionMeasure, Schedule, TrainConfig
from training.config.presets import load_config
from training.config.strict import parse, to_plain

PRESETS = sorted(Path(__file__).parents[2].glob('config/training/*.yaml'))
BAGS = (BagSource(Path('some_bag')),)


def write(folder: Path, text: str) -> Path:
    path = folder / 'preset.yaml'
    path.write_text(text)
    return path


@pytest.mark.parametrize('preset', PRESETS, ids=lambda path: path.stem)
def test_shipped_presets_are_valid_and_named_as_their_file(preset: Path) -> None:
    config = load_config(preset, bags=BAGS)
    assert config.name == preset.stem
    assert config.bags == BAGS


def test_config_survives_the_way_through_yaml() -> None:
    config = load_config(PRESETS[0], ['pairs.measure=pose', 'data.cache=/somewhere'], BAGS)
    again = parse(TrainConfig, yaml.safe_load(yaml.safe_dump(to_plain(config))))
    assert again == config
    assert again.pairs.measure is MotionMeasure.POSE


def test_values_are_typed(tmp_path: Path) -> None:
    text = 'optimizer: {lr: 1e-3, schedule: step}\ndata: {fit: crop}\nbags: [{path: x, last: 9}]'
    config = load_config(write(tmp_path, text))
    assert config.optimizer.lr == 1e-3
    assert config.optimizer.schedule is Schedule.STEP
    assert config.data.fit is Fit.CROP
    assert config.bags == (BagSource(Path('x'), last=9),)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('los: {}', "unknown key 'los' .*loss"),
        ('loss: {depht: 1}', r"unknown key 'loss.depht' \(allowed: automask, coarse, consistency"),
        ('run: {batch_size: many}', "run.batch_size is 'many', but must be int"),
        ('run: {batch_size: true}', 'run.batch_size is True, but must be int'),
        ('run: {batch_size: 0}', 'run.batch_size 0 must be 1 or more'),
        ('run: {device: tpu}', "'tpu' .*auto, cpu, cuda"),
        ('data: {width: 100}', 'data.width 100 must be a multiple of 32'),
        ('data: {fit: squash}', "data.fit is 'squash' .*stretch, crop, letterbox"),
        ('export: {precision: int8}', 'export.precision int8 must be fp32 or fp16'),
        ('optimizer: {lr: fast}', "optimizer.lr is 'fast', but must be a number"),
        ('optimizer: {weight_decay: -1}', 'optimizer.weight_decay -1.0 must be 0 or more'),
        ('optimizer: {warmup_steps: -1}', 'optimizer.warmup_steps -1 must be 0 or more'),
        ('optimizer: {step_factor: -1}', 'optimizer.step_factor -1.0 must be 0 or more'),
        ('optimizer: {final_factor: -1}', 'optimizer.final_factor -1.0 must be 0 or more'),
        ('optimizer: {step_at: [0.5, 15]}', r'step_at \(0.5, 15.0\) must be shares of the run'),
        ('optimizer: {clip: 0}', 'optimizer.clip 0.0 must be above 0, or null'),
        ('data: {focal: -100}', 'data.focal -100.0 must be above 0, or null'),
        ('data: {focal: .nan}', 'data.focal nan must be above 0, or null'),
        ('data: {workers: -1}', 'data.workers -1 must be 0 or more'),
        ('depth_pro: {derivative_weight: -1}', 'derivative_weight -1.0 must be 0 or more'),
        ('depth_pro: {derivative_weight: .inf}', 'derivative_weight inf must be 0 or more and'),
        ('run: {seed: -1}', 'run.seed -1 must be 0 or more'),
        ('run: {threads: -1}', 'run.threads -1 must be 0 or more'),
        ('run: {early_stop_epochs: -1}', 'run.early_stop_epochs -1 must be 0 or more'),
        ('augment: {brightness: 2}', 'augment.brightness 2.0 must be within 0 to 1'),
        ('augment: {contrast: .nan}', 'augment.contrast nan must be within 0 to 1'),
        ('augment: {hue: 3}', 'augment.hue 3.0 must be within 0 to 0.5 turns'),
        ('loss: {photometric: 0}', 'nothing to learn from'),
        ('pairs: {min_parallax: 0.5}', 'must be below'),
        ('{den: {}, run: {monitor: depth_loss}}', r'depth_loss.* \(allowed: loss, abs_rel\)'),
        ('loss: 3', 'loss must be a mapping'),
        ('bags: [{first: 2}]', r'bags\[0\].path is missing'),
        ('bags: [{path: x, first: 5, last: 5}]', 'last frame 5 must be above the first'),
        ('- a', 'must be a mapping'),
        ('a: [', 'is not YAML'),
    ],
)
def test_refusals_name_value_and_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, text), bags=() if 'bags' in text else BAGS)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('run.epochs', 'must be section.key=value'),
        ('run.epoch=3', "unknown key 'run.epoch'"),
        ('name.x=3', "'x' lies below a value"),
        ('run.epochs=[', '--set'),
    ],
)
def test_bad_overrides_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(PRESETS[0], [override], BAGS)


def test_overrides_reach_their_key_and_no_other() -> None:
    before = load_config(PRESETS[0], bags=BAGS)
    after = load_config(PRESETS[0], ['run.epochs=3', 'optimizer.clip=null'], BAGS)
    assert (after.run.epochs, after.optimizer.clip) == (3, None)
    assert after.run.batch_size == before.run.batch_size
    assert after.loss == before.loss


def test_missing_preset_and_missing_bag(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='cannot be read'):
        load_config(tmp_path / 'none.yaml', bags=BAGS)
    with pytest.raises(ConfigError, match='no bag to train on'):
        load_config(write(tmp_path, ''))


def test_a_preset_changes_its_base_section_by_section(tmp_path: Path) -> None:
    write(tmp_path, 'name: below\noptimizer: {lr: 1e-3, clip: 2}\nrun: {epochs: 7}')
    above = tmp_path / 'above.yaml'
    above.write_text('name: above\nbase: preset\noptimizer: {clip: 5}')
    config = load_config(above, ['run.batch_size=3'], BAGS)
    assert (config.name, config.optimizer.lr, config.optimizer.clip) == ('above', 1e-3, 5)
    assert (config.run.epochs, config.run.batch_size) == (7, 3)
    changes = tmp_path / 'changes.yaml'
    changes.write_text('optimizer: {lr: 2}')
    changed = load_config(above, (), BAGS, changes)
    assert (changed.optimizer.lr, changed.optimizer.clip) == (2, 5)
    above.write_text('base: lite0')
    assert load_config(above, bags=BAGS).network.backbone == 'tf_efficientnet_lite0'


def test_bases_that_cannot_be_are_refused(tmp_path: Path) -> None:
    loop = write(tmp_path, 'base: preset')
    with pytest.raises(ConfigError, match='is its own base'):
        load_config(loop, bags=BAGS)
    with pytest.raises(ConfigError, match='base is 3, but must be the name'):
        load_config(write(tmp_path, 'base: 3'), bags=BAGS)
    with pytest.raises(ConfigError, match=r'no file .*nothing_like_it\.yaml; beside it'):
        load_config(write(tmp_path, 'base: nothing_like_it'), bags=BAGS)
