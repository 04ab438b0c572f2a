"""Executor `ray` for sparse-volume-zoo: many cases on a Ray cluster, one task for each.

zoo predict NAME -i SCANS -o OUT --executor ray --address HOST:PORT
"""

from zoo_ray.executor import run_on_ray

zoo_plugin_api_version = 2
__all__ = ["run_on_ray"]
