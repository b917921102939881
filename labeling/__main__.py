"""The command ``python -m infer_segment_anything_3.labeling``."""

from __future__ import annotations

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
