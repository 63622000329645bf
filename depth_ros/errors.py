"""What can go wrong in ways a user can mend; anything else is a bug and keeps its traceback."""


class DepthRosError(Exception):
    """A problem that the user can act on: one line that names the value and what is allowed."""


class BagError(DepthRosError):
    """A bag, image folder or video is missing, damaged, or lacks what was asked for."""


class CameraError(DepthRosError):
    """Camera calibration is missing, not finite, or does not fit the image."""


class MessageError(DepthRosError):
    """One message is malformed or has an encoding that is not supported."""


class ModelError(DepthRosError):
    """A model folder, its spec or its graph is missing, damaged or of an unknown version."""


class BackendError(DepthRosError):
    """An inference runtime is not installed, refuses a model, or failed while running it."""


class ConfigError(DepthRosError):
    """A parameter, preset or command-line value is not allowed."""
