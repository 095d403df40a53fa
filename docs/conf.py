"""The documentation's settings: `make docs` builds it into docs/site."""

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
# Only the function's own page says what it takes: signatures with types are long enough.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Loaded for their docstrings; what computes is not needed for that.
autodoc_mock_imports = ["tensorflow", "keras", "pynetdicom", "highdicom"]
# Links to files beside the pages (the source, the flagfiles) are right in a checkout.
suppress_warnings = ["myst.xref_missing", "myst.header"]
html_theme = "furo"
html_title = "MRSR-TF"
