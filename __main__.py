"""Runs the command line: ``python -m infer_segment_anything_3`` is the program ``infer-sam3``."""

import sys

from infer_segment_anything_3.cli.app import main

sys.exit(main())
