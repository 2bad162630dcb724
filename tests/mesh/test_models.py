"""Every published model has a gin file of the published size, and every gin file parses."""

import json
import re
from pathlib import Path

import pytest

from primer_tf import gin_directory
from tests.mesh.paper_values import PUBLISHED
from tests.mesh.tf1 import in_tf1

COUNTS = json.loads((Path(__file__).parent / "golden" / "parameter_counts.json").read_text())


def test_every_published_model_has_its_published_size():
    assert len(PUBLISHED) == 23
    for name, millions in PUBLISHED.items():
        assert COUNTS[name] / 1e6 == pytest.approx(millions, rel=0.018, abs=0.5), name


def test_first_lines_state_the_golden_counts():
    files = {path.stem: path.read_text() for path in (gin_directory() / "models").glob("*.gin")}
    assert set(files) == set(COUNTS)
    for name, text in files.items():
        stated = re.match(r"# ([\d,]+) parameters", text)
        assert stated and int(stated[1].replace(",", "")) == COUNTS[name], name


def test_every_architecture_has_a_tiny_model():
    architectures = {re.sub("^(small|medium|large)_", "", name) for name in PUBLISHED}
    assert {"tiny_" + name for name in architectures} <= set(COUNTS)
    assert all(2e6 < COUNTS["tiny_" + name] < 3e6 for name in architectures)


def _check_count(name):
    import math

    from primer_tf.mesh import graphs

    graphs.parse(f"models/{name}.gin")
    shapes = graphs.variable_shapes(8100 if name.startswith("tiny") else graphs.VOCABULARY_SIZE)
    assert sum(map(math.prod, shapes.values())) == COUNTS[name], name


@in_tf1
def test_representative_graphs_have_the_golden_counts():
    for name in ("small_primer", "small_transformer_plusplus", "switch_primer"):
        _check_count(name)


@pytest.mark.slow
@in_tf1
def test_all_graphs_have_the_golden_counts():
    for name in COUNTS:
        _check_count(name)


@in_tf1
def test_primer_variables_are_named_as_published():
    from primer_tf.mesh import graphs

    graphs.parse("models/small_primer.gin")
    shapes = graphs.variable_shapes()
    attention = "transformer/block_005/layer_000/MDHA/"
    assert {k: v for k, v in shapes.items() if k.startswith(attention)} == {
        attention + name: shape
        for name, shape in {
            "q": [512, 512],
            "v": [512, 512],
            "o": [512, 512],
            "q_solo_project/kernel": [512, 512],
            **{f"qk_dconv/conv_{i}": [512] for i in range(3)},
            **{f"v_dconv/conv_{i}": [512] for i in range(3)},
        }.items()
    }
    norm = "primer_norm/layer_prepostprocess/primer_norm/primer_norm_"
    assert shapes["transformer/block_005/layer_001/" + norm + "scale"] == [512]
    assert shapes["transformer/" + norm + "bias"] == [512]
    assert shapes["transformer/embedding"] == [32128, 512]


@in_tf1
def test_every_file_parses_with_no_unknown_or_skipped_binding():
    import gin

    from primer_tf.mesh import graphs

    for run in sorted((gin_directory() / "run").glob("*.gin")):
        for hardware in sorted((gin_directory() / "hardware").glob("*.gin")):
            graphs.parse("models/tiny_primer.gin", f"run/{run.name}", f"hardware/{hardware.name}")
            gin.finalize()
    for model in COUNTS:
        graphs.parse(f"models/{model}.gin")
        gin.finalize()
    with pytest.raises(ValueError, match="MDHA"):
        graphs.parse("models/tiny_primer.gin", bindings=["MDHA.no_such_parameter = 1"])
    with pytest.raises(ValueError, match="NoSuchLayer"):
        graphs.parse("models/tiny_primer.gin", bindings=["NoSuchLayer.size = 1"])


@pytest.mark.slow
@in_tf1
def test_every_tiny_model_trains_and_decodes(tmp_path):
    from tests.mesh.command import corpus, t5

    data = corpus(str(tmp_path))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("light and\nthe earth was\n")
    for name in sorted(name for name in COUNTS if name.startswith("tiny_")):
        model = dict(data, model=name)
        printed = t5(str(tmp_path / name), "train", TRAIN_STEPS=3, **model)
        assert re.search(r"step 3/3  loss \d", printed), name
        out = str(tmp_path / f"out_{name}")
        sizes = dict(PROMPT_LENGTH=8, DECODE_LENGTH=4)
        t5(str(tmp_path / name), "decode", INPUT=str(prompts), OUTPUT=out, **sizes, **model)
        assert len(Path(out + "-3").read_text().splitlines()) == 2, name
