"""Puts every kind under fire for a while: python tests/fuzz/campaign.py SECONDS [KIND...]

Each kind runs in a process of its own. What is found is made as small as possible, printed, and
kept in a folder of findings; copied to tests/fuzz/corpus/, it is tried by every run of the tests.
"""

import argparse
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

sys.path.append(str(Path(__file__).parents[1]))  # as pytest does

from firing import damaged, fire, put
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from kinds import KINDS, contents
from mutation import STEP, Files

ADDRESSES = 8 << 30  # bytes that a process may ask for, so that a finding does not end the machine
ROUND = 500  # inputs from one look at the clock to the next
SCRIPTS = st.binary(min_size=2 + STEP, max_size=2 + 6 * STEP)


class Found(Exception):
    """An input broke a promise."""


def campaign(
    name: str, seconds: float, begin: int = 0, most: int = sys.maxsize
) -> tuple[int, Files | None, str]:
    """Fire at a kind, until seconds or inputs are used up.

    Returns:
        How many inputs were tried, the smallest that failed, and why.
    """
    kind, tried, worst = KINDS[name], 0, {}
    with TemporaryDirectory(dir=shared_memory()) as made:
        folder = Path(made, "input")

        def shot(script: bytes) -> None:
            nonlocal tried
            tried += 1
            files = damaged(kind, script)
            put(files, folder)
            try:
                fire(kind, folder)
            except Exception as error:
                worst.update(files=files, reason=f"{type(error).__name__}: {error}")
                raise Found from error

        deadline, number = monotonic() + seconds, begin
        while monotonic() < deadline and tried < most and not worst:
            search(shot, number, min(ROUND, most - tried))
            number += 1
    return tried, worst.get("files"), worst.get("reason", "")


def search(shot: Callable[[bytes], None], number: int, inputs: int = ROUND) -> None:
    """Try so many inputs, by that seed; the last one tried is the smallest that fails, if any.

    What fails raises `Found`, and is kept even if it does not fail again; any other error is one of
    the campaign itself.
    """
    run = seed(number)(given(SCRIPTS)(shot))
    checked = settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )(run)
    try:
        checked()
    except* Found:  # `shot` has noted it
        pass


def shared_memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float, help="for all kinds together")
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0, help="of the first inputs")
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="of each kind, at most")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    share = given.seconds / len(given.kinds)
    failed = 0
    for name in given.kinds:
        if not given.here:
            words = [str(share), name, "--seed", str(given.seed), "--here"]
            words += ["--inputs", str(given.inputs)]
            process = subprocess.run(
                [sys.executable, __file__, *words, "--findings", str(given.findings)]
            )
            failed += process.returncode != 0
            continue
        tried, files, reason = campaign(name, share, given.seed, given.inputs)
        print(f"{name}: {tried:,} inputs" + (f"; {reason}" if files else ""), flush=True)
        if files:
            failed += 1
            put(files, given.findings / name)
            print(f"  {given.findings / name}: {', '.join(contents(given.findings / name))}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
