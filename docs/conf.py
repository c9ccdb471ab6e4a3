"""How Sphinx makes the site of these pages; `make docs` calls it."""

from __future__ import annotations

import logging
import re

from sphinx.application import Sphinx

from bastionlab import __version__

project = "BastionLab"
copyright = "the authors of BastionLab, Apache-2.0"
release = __version__

extensions = [
    "myst_nb",  # Markdown and the notebook
    "sphinx.ext.autodoc",  # the Python reference, from the docstrings
]
html_theme = "furo"
html_title = f"BastionLab {release}"
html_static_path = ["assets"]
html_show_sphinx = False
# Nothing is loaded from elsewhere: no fonts, no scripts, no mathematics of a CDN. A test reads the built pages.
html_theme_options = {"footer_icons": []}

# The notebook is shown as it was executed: tools/docs/execute_notebook.py does that.
nb_execution_mode = "off"
myst_heading_anchors = 4
myst_enable_extensions: list[str] = []
nb_mime_priority_overrides = [("html", "text/plain", 1)]

# Pages are taken by pattern, where one may be empty; of its own, Sphinx cannot be told so by name.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "didn't match any" not in record.getMessage())

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# Types of PyTorch and of the standard library have no page here.
nitpick_ignore_regex = [("py:.*", ".*")]


def setup(app: Sphinx) -> None:
    app.connect("source-read", link_the_notebook)


def link_the_notebook(app: Sphinx, docname: str, source: list[str]) -> None:
    """tutorials/spam.ipynb leads to examples/, and Sphinx follows it out of docs/ before it looks for a page of that name."""
    source[0] = re.sub(r"\[([^\]]*)\]\(((?:\.\./)?(?:tutorials/)?spam)\.ipynb\)", r"{doc}`\1 <\2>`", source[0])
