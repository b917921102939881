"""The weights that a job runs with."""

from __future__ import annotations

import json

import pytest

from infer_segment_anything_3.cli import app
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights

VIT = r"backbone\.vision_backbone\.trunk\.blocks\.\d\.attn\.qkv"


@pytest.fixture
def make_adapter(tmp_path):
    """Saves a random LoRA adapter of the bundled model in a folder of that name."""
    peft = pytest.importorskip("peft")

    def make(name):
        model = load_model("tiny_shapes", find_weights("tiny_shapes"), "cpu")
        config = peft.LoraConfig(r=2, init_lora_weights=False, target_modules=VIT)
        peft.get_peft_model(model, config).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


def test_an_adapter_is_merged_and_told_from_others(images, out, label, make_adapter):
    one, other = make_adapter("one"), make_adapter("other")
    code, printed = label("--weights", f"+ {one}")
    assert code == 0, printed
    settings = json.loads((out / "job.json").read_text())["settings"]
    for weights in (f"+ {other}", str(find_weights("tiny_shapes"))):
        code, printed = label("--weights", weights)
        assert code == 2
        assert printed.splitlines()[-1].startswith(
            f"weights: this folder was begun with {settings['weights']!r}, got "
        )


def test_weights_that_cannot_be_had_are_a_sentence(images, out, capsys, network_attempts):
    assert app.main(["label", str(images), "--text", "star", "--out", str(out)]) == 2
    printed = capsys.readouterr().err.strip()
    assert network_attempts
    assert printed.startswith("weights: The Hugging Face Hub could not be reached for sam3.pt")
    assert len(printed.splitlines()) == 1
