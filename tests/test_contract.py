"""The input contract."""

import pytest
from pydantic import ValidationError

from zoo.contract import InputContract


def test_it_accepts_what_lies_around_its_spacing():
    contract = InputContract.around(3.2)
    assert contract.accepts((3.2, 2.5, 4.1))
    assert not contract.accepts((3.2, 3.2, 8.0)) and not contract.accepts((0.4, 0.4, 0.4))


@pytest.mark.parametrize("windows", [(), ((100, 0),), ((0, 0),)])
def test_windows_are_some_and_go_upwards(windows):
    with pytest.raises(ValidationError, match="windows"):
        InputContract.around(1.0, kind="intensity", windows=windows)


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError, match="colour"):
        InputContract.around(1.0, colour="red")


def test_tissue_lies_between_dark_air_and_bright_air():
    assert InputContract.around(1.0, exterior=0, bright_exterior=1).bright_exterior == 1
    with pytest.raises(ValidationError, match="wanted bright_exterior above exterior"):
        InputContract.around(1.0, exterior=1, bright_exterior=1)
