"""The command ``install``: links this package into Ikomia."""

from __future__ import annotations

import sys
from pathlib import Path

from .common import Exit, print_result, run_command, tell

PLUGIN = "infer_segment_anything_3"


@run_command
def install() -> Exit:
    """Link this package into your own Ikomia (~/Ikomia/Plugins/Python).

    Not needed where Ikomia HUB installs the algorithm.
    """
    package = Path(__file__).resolve().parents[1]
    link = Path.home() / "Ikomia" / "Plugins" / "Python" / PLUGIN
    if link.exists() and not link.is_symlink():
        tell(f"{link} is there already and is no link: move it away first.")
        return Exit.STOPPED
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(package, target_is_directory=True)
    print_result(f"Linked {link} -> {package}")
    tell("Ikomia does not install a linked plugin's requirements. In the Python that runs Ikomia:")
    tell(f'  "{sys.executable}" -m pip install -r "{package / "requirements.txt"}"')
    return Exit.DONE
