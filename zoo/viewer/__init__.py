"""A case in the browser: its files by role, what is sent of them, the page and its server; and
what a notebook shows.

The server lets in nobody but whoever started it; a saved page needs neither server nor network.
"""

from zoo.viewer.cases import Case, cases_of
from zoo.viewer.exhibit import Exhibit
from zoo.viewer.notebook import html_of, view_of
from zoo.viewer.page import save_page
from zoo.viewer.server import Server

__all__ = [
    "Case",
    "Exhibit",
    "Server",
    "cases_of",
    "html_of",
    "save_page",
    "view_of",
]
