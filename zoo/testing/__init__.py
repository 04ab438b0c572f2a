"""Checks for plugin authors to call from pytest: does a part do what the zoo relies on?

    from zoo.testing import check_architecture

    def test_my_network():
        check_architecture(MyNetwork, MyConfig(channels=(4, 8)))

Every check raises AssertionError with a message that says what was wanted and what was got. The
zoo's own parts pass the same checks.
"""

from zoo.testing.backends import CASES, Bench, check_backend, check_transposed_convolution
from zoo.testing.cards import check_card
from zoo.testing.commands import command
from zoo.testing.executors import check_executor
from zoo.testing.formats import check_reader, check_writer
from zoo.testing.networks import check_architecture, check_head

__all__ = [
    "CASES",
    "Bench",
    "check_architecture",
    "check_backend",
    "check_card",
    "check_executor",
    "check_head",
    "check_reader",
    "check_transposed_convolution",
    "check_writer",
    "command",
]
