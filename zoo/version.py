"""The zoo's version, and that of what plugins may lean on."""

__version__ = "0.2.0"
plugin_api_version = 2  # of what `zoo.plugins` describes; a package says which one it was made for
