"""Backend `spconv` for sparse-volume-zoo.

import zoo

zoo.load("skull-completion-64", backend="spconv")
"""

from zoo_spconv.backend import SpconvBackend

zoo_plugin_api_version = 2
__all__ = ["SpconvBackend"]
