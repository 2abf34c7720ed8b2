"""What of a model's folder is read when it is loaded."""

from pathlib import Path

import pytest

from hpsearch.tasks.pretrained import files_to_load

BESIDE = ("config.json", "generation_config.json", "tokenizer.json", "vocab.txt")


@pytest.mark.parametrize(
    ("weights", "others"),
    [
        (("model.safetensors",), ("pytorch_model.bin", "tf_model.h5", "optimizer.pt", "model.onnx")),
        (
            ("model.safetensors.index.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors"),
            ("pytorch_model.bin", "pytorch_model.bin.index.json"),
        ),
        (("pytorch_model.bin",), ("flax_model.msgpack", "optimizer.pt")),
        (("pytorch_model.bin.index.json", "pytorch_model-1-of-1.bin"), ("rust_model.npz",)),
        ((), ("model.gguf",)),
    ],
    ids=["safetensors", "parts of safetensors", "bin", "parts of bin", "from scratch"],
)
def test_weights_in_formats_that_are_not_read_are_left_out(tmp_path: Path, weights, others):
    for name in (*BESIDE, *weights, *others, ".cache"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "checkpoint-500").mkdir()
    small = {name for name in others if name.endswith(".json")}  # an index of what is not read does no harm
    assert set(files_to_load(tmp_path)) == {*BESIDE, *weights, *small}
    assert files_to_load(tmp_path / "none") == []
