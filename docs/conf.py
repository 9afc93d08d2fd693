"""The site: Sphinx over these Markdown pages, with the reference read from the docstrings."""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import Any, ClassVar

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import hammerflow
from hammerflow.options.option import option_table
from hammerflow.stores.connections.error_codes import TABLES

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
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

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
        options = attrgetter(name)(importlib.import_module(module))
        return self.parse_text_to_nodes(option_table(options))


class ErrorCodes(SphinxDirective):
    """A table of error codes, read from the code: ``{error-codes} postgres``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of the table."""
        lines = [
            "| code | what it is | class | no test provokes it, because |",
            "|---|---|---|---|",
        ]
        for code, meant in TABLES[self.arguments[0]].items():
            shown = f"`{code}`" if code else "none"
            lines.append(f"| {shown} | {meant.name} | {meant.kind.value} | {meant.untested} |")
        return self.parse_text_to_nodes("\n".join(lines))


def _resolve_public_name(
    _: Sphinx, environment: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Link ``current_job`` and ``hammerflow.context.current_job`` to ``hammerflow.current_job``."""
    if node.get("refdomain") != "py":
        return None
    domain = environment.domains.python_domain
    parts = node["reftarget"].split(".")
    for i in range(len(parts)):
        name = ".".join(["hammerflow", *parts[i:]])
        if name in domain.objects:
            found = domain.objects[name]
            return make_refnode(
                environment.app.builder, node["refdoc"], found.docname, found.node_id, content
            )
    return None


def _refer_to_tables(
    _: Sphinx, kind: str, name: str, __: object, ___: object, lines: list[str]
) -> None:
    """Replace the "Options:" of a docstring, made for ``help()``, by a link to their table."""
    if "Options:" not in lines:
        return
    begin = lines.index("Options:")
    end = begin + 1
    while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
        end += 1
    page = "settings" if kind == "class" and not name.endswith("SpawnConfig") else "options"
    lines[begin:end] = [f"The options are on the page :doc:`{page}`.", ""]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("option-table", OptionTable)
    app.add_directive("error-codes", ErrorCodes)
    app.connect("missing-reference", _resolve_public_name)
    app.connect("autodoc-process-docstring", _refer_to_tables, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
