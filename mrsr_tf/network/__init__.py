"""The residual 3-D CNN and every form in which a trained network is stored."""

import importlib
from typing import Any

_PUBLIC = {"build_model": "architecture", "to_dual_contrast": "transfer"}


def __getattr__(name: str) -> Any:
    """Loads the module of a public function, and TensorFlow with it, on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
