"""The zoo's errors; every error that a user can cause derives from `ZooError`.

Each message is one line that says what was wanted, what was got and how to fix it.
"""

import re

LONGEST = 400  # characters of another library's message that are shown
BEGINNING, END = 1500, 500  # characters of a message that is longer: what is wrong, and the remedy


def one_line(error: BaseException) -> str:
    """The message of an error on one line, its type if it has none.

    Control characters, which a terminal would obey, are written as escapes; what is too long to be
    read is cut.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    said = _escaped(said)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}..."


def _escaped(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


class ZooError(Exception):
    """Base class of the zoo's errors; the command line prints the message and exits with 2.

    The message is one line whatever it quotes: control characters are written as escapes, and what
    is longer than 2,000 characters is cut in its middle.
    """

    def __str__(self) -> str:
        said = _escaped(super().__str__())
        if len(said) <= BEGINNING + END:
            return said
        return f"{said[:BEGINNING]}...{said[-END:]}"


class VolumeError(ZooError, ValueError):
    """A volume that cannot be used: shape, values or affine."""


class ReadError(ZooError, OSError):
    """An input file that is missing, empty, truncated or not what its name says."""


class WriteError(ZooError, OSError):
    """An output that cannot be written; an existing file is left untouched."""


class ConfigError(ZooError, ValueError):
    """A config that does not fit its schema; the message names the key."""


class NotRegistered(ZooError, LookupError):
    """A name that is not in a registry; the message lists the nearest names."""


class AlreadyRegistered(ZooError, ValueError):
    """A second entry under a name that is taken; nothing is overwritten."""


class PluginError(ZooError):
    """An installed plugin that cannot be used; the message names its package."""


class MissingDependency(ZooError, ImportError):
    """An optional library that is not installed; the message names the extra to install."""


class BackendError(ZooError, RuntimeError):
    """A backend that cannot do on this machine what it was asked to."""


class WeightsError(ZooError):
    """Weights that are missing or are not the ones that the card pins."""


class SignatureError(ZooError):
    """A signature that is missing, or is not that of a model's files by the key that was named."""


class HubError(ZooError, OSError):
    """A Hub that cannot be reached or refuses a request."""


def as_zoo_error(error: Exception, subject: str = "") -> ZooError:
    """Turn any error into a ZooError; one of the zoo's own stays as it is.

    Args:
        error: the error, which becomes the cause of the ZooError.
        subject: what it happened to, such as a file, for the message.
    """
    if isinstance(error, ZooError):
        return error
    begin = f"{subject}: " if subject else ""
    failure = ZooError(
        f"{begin}unexpected {type(error).__name__}: {one_line(error)}; --debug shows where"
    )
    failure.__cause__ = error
    return failure
