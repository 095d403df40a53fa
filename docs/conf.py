"""Settings of the documentation, which `make docs` builds into docs/site."""

from mrsr_tf import __version__

project = "MRSR-TF"
author = project_copyright = "The MRSR-TF authors"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["site"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Types stand in the signatures only, not in the descriptions as well.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Docstrings can be read without these packages.
autodoc_mock_imports = ["tensorflow", "keras", "highdicom"]
# Links to source files and flagfiles lead somewhere in a checkout, not on the website.
suppress_warnings = ["myst.xref_missing", "myst.header"]
# Commands are not Python.
highlight_language = "none"
html_theme = "furo"
html_title = "MRSR-TF"
