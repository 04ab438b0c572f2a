"""What a report says of time."""

from time import sleep

from zoo.models.report import COMPILING, Stopwatch


def test_compiling_is_no_part_of_the_stage_in_which_it_happens():
    said = []
    watch = Stopwatch(said.append)
    with watch.stage("network"):
        for _ in range(2):
            with watch.compilation():
                sleep(0.05)
        sleep(0.01)
    with watch.stage("restore"):
        pass
    assert said == ["network", COMPILING, "network", COMPILING, "network", "restore"]
    assert list(watch.seconds) == ["network", "restore"]
    assert watch.compiling >= 0.1 > watch.seconds["network"] >= 0.01
