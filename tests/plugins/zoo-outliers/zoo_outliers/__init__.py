"""Outlier removal: a task that the zoo does not have, brought by a package of its own."""

from zoo_outliers.task import OutlierRemoval

zoo_plugin_api_version = 2
TASK = OutlierRemoval()
