"""What can be wrong with a run, as far as its user can mend it.

TrainError
├── ConfigError       the configuration, or what it is to be combined with
├── DataError         the dataset is not what it claims, or too much of it cannot be read
├── CheckpointError   no checkpoint, or one of another run
└── Diverged          the loss is no longer a number
"""


class TrainError(Exception):
    """The run cannot go on; the message names what was expected and what came."""


class ConfigError(TrainError):
    """The configuration is wrong or does not fit the run."""


class DataError(TrainError):
    """The dataset is not finished, not the one that was named, or cannot be read."""


class CheckpointError(TrainError):
    """There is no such checkpoint, or it belongs to another run."""


class Diverged(TrainError):
    """Loss or gradients were no finite numbers several times in a row."""
