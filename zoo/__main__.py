"""`python -m zoo`."""

from zoo.cli import run

run()
