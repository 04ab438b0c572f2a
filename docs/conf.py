"""Sphinx's settings; `make docs` builds the site."""

import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent))

import generate

import zoo

project = "zoo"
author = "the authors of sparse-volume-zoo"
project_copyright = author
release = version = zoo.__version__

exclude_patterns = ["generated/*.md"]  # they are parts of pages
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = False  # types of NumPy and PyTorch have no page here
default_role = "literal"  # one backtick in a docstring is code

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"zoo {release}"
html_math_renderer = "mathml"


def add_math(translator, node, display):
    """Equations as MathML, which browsers draw without a script and without a network."""
    translator.body.append(convert(node.astext(), display=display))
    raise SkipNode


def setup(app):
    generate.write(Path(app.srcdir))
    app.add_html_math_renderer(
        "mathml",
        (lambda translator, node: add_math(translator, node, "inline"), None),
        (lambda translator, node: add_math(translator, node, "block"), None),
    )
