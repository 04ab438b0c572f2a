"""Many cases: inputs become jobs, the jobs are run on this machine, and a journal says what became
of each."""

from zoo.executors.driver import run_jobs
from zoo.executors.inputs import inputs_of, volumes
from zoo.executors.jobs import Job, Outputs, plan_jobs
from zoo.executors.journal import Entry, Identity, Journal, done_in
from zoo.executors.plan import Outcome, Run

__all__ = [
    "Entry",
    "Identity",
    "Job",
    "Journal",
    "Outcome",
    "Outputs",
    "Run",
    "done_in",
    "inputs_of",
    "plan_jobs",
    "run_jobs",
    "volumes",
]
