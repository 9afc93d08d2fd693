"""The site: Sphinx over these Markdown pages, with the reference read from the docstrings."""

from __future__ import annotations

import importlib
import typing
from dataclasses import is_dataclass
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import hammerflow

project = "hammerflow"
author = "the authors of hammerflow"
version = release = hammerflow.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

# A link to something that is not there is a warning, and tox makes warnings errors.
nitpicky = True
nitpick_ignore_regex = [
    # Annotations name classes of the engine, of the standard library and type variables, none of
    # which the reference describes.
    (r"py:(class|data|obj)", r".*"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Options", "params_style")]

html_theme = "furo"
html_title = f"hammerflow {release}"
html_show_sphinx = False
html_copy_source = False
pygments_style = "default"


class OptionTable(SphinxDirective):
    """A table of options, read from the code: ``{option-table} hammerflow.settings:SETTINGS``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """The nodes of the table."""
        module, _, name = self.arguments[0].partition(":")
        options = getattr(importlib.import_module(module), name)
        return self.parse_text_to_nodes(_table(options))


def _table(options: Any) -> str:
    """Options as a Markdown table."""
    if isinstance(options, tuple):
        from hammerflow.option import option_table

        return option_table(options)
    rows = ["| Option | Type |", "|---|---|"]
    if is_dataclass(options):
        rows = ["| Option | Type | Default |", "|---|---|---|"]
    for name, kind in typing.get_type_hints(options).items():
        text = getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind)
        cells = [f"`{name}`", text.replace("typing.", "").replace("|", "\\|")]
        if is_dataclass(options):
            cells.append(f"`{options.__dataclass_fields__[name].default!r}`")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("option-table", OptionTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
