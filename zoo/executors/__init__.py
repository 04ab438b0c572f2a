"""Many cases: inputs become jobs, the jobs are run on this machine, and a journal says what became
of each."""

from zoo.executors.bids import Derivative
from zoo.executors.driver import run_jobs, spread
from zoo.executors.inputs import Input, dataset_of_all, inputs_of, volumes
from zoo.executors.jobs import Job, Outputs, plan_jobs
from zoo.executors.journal import Entry, Identity, Journal, done_in
from zoo.executors.planning import CasePlan, plan_cases, plan_table
from zoo.executors.running import Predict
from zoo.executors.runs import HERE, Executor, Outcome, Run, Work, attempt, died, portable, too_slow
from zoo.executors.scoring import ScoreCase, scored_by
from zoo.executors.verifying import Verify, memory_to_verify

__all__ = [
    "HERE",
    "CasePlan",
    "Derivative",
    "Entry",
    "Executor",
    "Identity",
    "Input",
    "Job",
    "Journal",
    "Outcome",
    "Outputs",
    "Predict",
    "Run",
    "ScoreCase",
    "Verify",
    "Work",
    "attempt",
    "dataset_of_all",
    "died",
    "done_in",
    "inputs_of",
    "memory_to_verify",
    "plan_cases",
    "plan_jobs",
    "plan_table",
    "portable",
    "run_jobs",
    "scored_by",
    "spread",
    "too_slow",
    "volumes",
]
