"""Starts the real Ikomia in a temporary home that has this checkout as its one plugin.

The user's own Ikomia is not touched. Must be called before anything imports ``ikomia``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PLUGIN = "infer_segment_anything_3"
CHECKOUT = Path(__file__).resolve().parents[1]
HOME_VARIABLES = ("HOME", "USERPROFILE")
QT_MODULES = ("QtCore", "QtDBus", "QtGui", "QtNetwork", "QtSql", "QtSvg", "QtWidgets")
"""Every Qt library that ikomia links: loaded later, its own older ones would clash."""


def fill_home(home: Path) -> Path:
    """Makes a folder an Ikomia home that has the checkout as a plugin.

    Args:
        home: An empty folder.

    Returns:
        The folder of the plugin in it, a link to the checkout.
    """
    plugins = home / "Ikomia" / "Plugins" / "Python"
    plugins.mkdir(parents=True)
    plugin = plugins / PLUGIN
    plugin.symlink_to(CHECKOUT, target_is_directory=True)
    return plugin


def set_environment(home: Path, with_qt: bool = True) -> None:
    """Sets the environment so that Ikomia, imported later, uses that home only.

    The Hugging Face cache stays where it is: that is where the weights are.

    Args:
        home: What :func:`fill_home` filled.
        with_qt: Whether to import Qt, which Ikomia needs to be complete before it.

    Raises:
        RuntimeError: If Ikomia is imported already.
    """
    if "ikomia" in sys.modules:
        raise RuntimeError("ikomia is imported already and has its folders")
    hugging_face = Path.home() / ".cache" / "huggingface"
    os.environ.setdefault("HF_HOME", str(hugging_face))
    os.environ |= {
        **dict.fromkeys(HOME_VARIABLES, str(home)),
        "IKOMIA_AUTO_COMPLETION": "false",
        "QT_QPA_PLATFORM": "offscreen",
    }
    # Without PyQt6 nothing clashes: the API needs no Qt of Python's.
    with contextlib.suppress(ImportError):
        for module in QT_MODULES if with_qt else ():
            importlib.import_module(f"PyQt6.{module}")


@contextlib.contextmanager
def ikomia_home() -> Iterator[Path]:
    """Makes a temporary home and loads the plugin in it, while the context lasts.

    Yields:
        The home folder.
    """
    homes = {name: os.environ.get(name) for name in HOME_VARIABLES}
    with tempfile.TemporaryDirectory(prefix="ikomia-home-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        plugin = fill_home(home)
        set_environment(home)
        from ikomia.dataprocess.registry import ik_registry

        ik_registry.load_python_algorithm(str(plugin))
        try:
            yield home
        finally:
            # A library that keeps files at home would create the folder again after it is removed.
            for name, value in homes.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
