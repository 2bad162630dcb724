"""The guide's commands for conversion between the engines work as described."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from primer_tf.cli import main
from primer_tf.convert.mesh_checkpoint import MeshCheckpoint
from tests.readme import GUIDES, code_blocks, commands, substitute

BLOCKS = code_blocks(GUIDES / "two_engines.md")["One model, two engines"]


def test_python():
    names = {}
    exec(BLOCKS[0], names)
    model = names["model"]
    assert model.backbone.num_layers == 2 and model.backbone.shared_query_key


@pytest.mark.slow  # `make newcomer`, which CI runs, does so too, but compares less.
def test_commands(primer, vocabulary, text_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(primer / "mesh", "m")
    Path("kjv.model").write_bytes(vocabulary)
    sizes = ["d_model=16", "d_kv=8", "num_heads=2", "d_ff=24", "TOKENS_PER_BATCH=64"]
    sizes.append("run.sequence_length={'inputs': 1, 'targets': 32}")
    small = " ".join(f'--gin_param "{size}"' for size in sizes) + f" --data {text_file}"
    block = substitute(
        BLOCKS[1],
        {
            "--data demo --steps 200": f"--data {text_file} --sequence_length 32 --steps 2",
            "TRAIN_STEPS=200": f"TRAIN_STEPS=2 {small}",
        },
    )
    printed = []
    for program, *arguments in commands(block):
        assert program == "primer" and main(arguments) == 0
        printed.append(capsys.readouterr().out)
    converted, evaluated, trained, back, described, models = printed
    assert "step 17" in converted and "step 19" in back
    assert re.search(r"bits per byte \d", evaluated)
    assert "The optimizer of from_t5 goes on from step 17." in trained
    assert "step 2/2  validation" in described and "models/xl_primer.gin" in models
    before, after = MeshCheckpoint("m"), MeshCheckpoint("back")
    assert before.shapes == after.shapes and before.slot_shapes == after.slot_shapes
    name = "transformer/embedding"
    assert not np.array_equal(before.read(name), after.read(name))
