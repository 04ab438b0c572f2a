"""Every error that a user can cause derives from `ZooError`.

The message of each is one line: what was wanted, what was got, how to mend it.
"""


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its kind if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


class ZooError(Exception):
    """Base of the zoo's errors; the command line prints its message and exits with status 2."""


class VolumeError(ZooError, ValueError):
    """A volume that cannot be used: shape, values or affine."""


class ReadError(ZooError, OSError):
    """An input file that is missing, empty, truncated or not what its name says."""


class WriteError(ZooError, OSError):
    """An output that cannot be written; whatever was there before is untouched."""


class ConfigError(ZooError, ValueError):
    """A config that does not fit its schema; the message names the key."""


class NotRegistered(ZooError, LookupError):
    """A name that no registry entry carries; the message lists the nearest names."""


class AlreadyRegistered(ZooError, ValueError):
    """A second thing under a name that is taken; nothing was overwritten."""


class PluginError(ZooError):
    """An installed plugin that failed to import; the message names its package."""


class MissingDependency(ZooError, ImportError):
    """An optional library that is absent; the message names the extra to install."""


class BackendError(ZooError, RuntimeError):
    """A backend that cannot do what was asked of it on this machine."""


class WeightsError(ZooError):
    """Weights that are missing or are not the ones that the card pins."""


class HubError(ZooError, OSError):
    """A Hub that cannot be reached, or refuses what was asked of it."""
