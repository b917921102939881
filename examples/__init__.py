"""Pictures and a clip that come with the package, and the demos that show the plugin on them.

The bundled model ``tiny_shapes`` knows what they show.
"""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

SCENE = _FOLDER / "scene.png"
"""Nine flat shapes on a light background."""

CROWD = _FOLDER / "crowd.png"
"""216 small shapes."""

CLIP = _FOLDER / "clip.mp4"
"""A clip of four moving shapes, one of which passes behind another."""
