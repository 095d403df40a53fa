"""Settings of the documentation, which `make docs` builds into docs/site."""

from mrsr_tf import __version__

project = "MRSR-TF"
author = project_copyright = "The MRSR-TF authors"
release = version = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["site", "jupyter_execute"]
# The tutorial holds no outputs, so it is run.
nb_execution_mode = "force"
nb_execution_timeout = 300  # seconds a cell
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_output_stderr = "remove"  # TensorFlow's words about the machine
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
