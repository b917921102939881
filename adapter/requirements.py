"""Says what to do about a package that the plugin needs and that is not installed."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"

# Ikomia's own loggers write to its log file.
logger = logging.getLogger("ikomia.infer_segment_anything_3")


def explain_missing_package(error: ModuleNotFoundError) -> RuntimeError:
    """Logs, in Ikomia's log, the command that installs what is missing.

    Args:
        error: Of the import that failed.

    Returns:
        An error with the same line.
    """
    package = (error.name or str(error)).split(".")[0]
    # In Studio the program of this process is no Python.
    is_python = Path(sys.executable).stem.startswith("python")
    python = sys.executable if is_python else "python"
    message = f'{package} is not installed: run "{python}" -m pip install -r "{REQUIREMENTS}"'
    logger.error("%s", message)
    return RuntimeError(message)
