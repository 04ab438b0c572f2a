"""Tasks: registered objects that predict, train and score; each of the zoo's has a folder here.

A plugin adds a task through the entry-point group `zoo_tasks`; no other package of the zoo knows a
task by name.
"""

from zoo.tasks.task import ANY_SPACING, Stage, Task, Workload

__all__ = [
    "ANY_SPACING",
    "Stage",
    "Task",
    "Workload",
]
