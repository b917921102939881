from __future__ import annotations
import importlib.util
from pathlib import Path
def bpe_vocabulary() -> str:
    spec = importlib.util.find_spec("open_clip")
    return str(Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz")
