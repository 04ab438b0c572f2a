"""Many cases: inputs become jobs, and the jobs are run, here in this process."""

from zoo.executors.jobs import Job, Outputs, plan_jobs, volumes
from zoo.executors.local import run_jobs

__all__ = [
    "Job",
    "Outputs",
    "plan_jobs",
    "run_jobs",
    "volumes",
]
