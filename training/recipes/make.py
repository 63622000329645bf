"""Which recipe a run follows."""

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from training.config import TrainConfig
from training.recipes.den import DenRecipe
from training.recipes.depth_pro import DepthProRecipe
from training.recipes.recipe import Recipe


def make_recipe(config: TrainConfig, training: Intrinsics) -> Recipe:
    """The recipe of a run that learns from true depth.

    training: the camera that the run's network is made for [network pixels].

    Raises:
        ConfigError: the sections do not fit each other.
    """
    if config.depth_pro is not None:
        return DepthProRecipe(config, config.depth_pro)
    if config.den is not None:
        return DenRecipe(config, config.den, training)
    raise ConfigError(f'preset {config.name} names no network that learns from true depth alone')
