"""Says what to install where a package that training needs is missing."""

from __future__ import annotations

import importlib.util

PACKAGES = ("accelerate", "peft", "torchmetrics", "transformers")


def require(*packages: str) -> None:
    """Raises ImportError with what to install, if one of the packages is not there."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"training needs {', '.join(missing)}: pip install -r requirements-train.txt"
        )
