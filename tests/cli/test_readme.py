"""What README.md says to type in Keras and on the command line does what it says."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from primer_tf.cli import main
from primer_tf.tasks.text import TextSource
from tests.readme import GUIDES, README, code_blocks, commands, substitute

COMMANDS = {"models", "vocab", "train", "evaluate", "prepare", "tasks", "generate", "export"}
MAKEFILE = README.parent / "Makefile"


@pytest.fixture(params=["small", pytest.param("as it stands", marks=pytest.mark.slow)])
def settings(request, small_preset, text_file, tmp_path, monkeypatch):
    """Replacements in the Python and the shell block: for small sizes, or as few as possible."""
    monkeypatch.chdir(tmp_path)
    few = {"primer train --preset": "primer train --steps 2 --preset"}
    if request.param == "as it stands":
        return {}, few
    preset = {"tiny_primer_ez": small_preset}
    return preset, {
        "primer train --preset": "primer train --steps 2 --sequence_length 32 --preset",
        "--data demo --output vocabulary": f"--size 300 --data {text_file} --output vocabulary",
        "--data demo": f"--data {text_file}",
        **preset,
    }


def test_trained_weights(capsys):
    exec(code_blocks()["In Keras"][0], {})
    text = capsys.readouterr().out
    assert text.startswith("In the beginning")
    known = set(re.findall(r"\w+", " ".join(TextSource("demo").documents("train"))))
    words = re.findall(r"\w+", text)[:-1]  # The last one may be cut short.
    assert len(words) > 15 and sum(word in known for word in words) > 0.7 * len(words)


def test_keras(settings, vocabulary, tmp_path):
    code = substitute(code_blocks()["In Keras"][1], settings[0])
    (tmp_path / "vocabulary.model").write_bytes(vocabulary)
    names = {}
    exec(code, names)
    restored = names["PrimerCausalLM"].from_preset("my_primer")
    for saved, trained in zip(restored.weights, names["model"].weights, strict=True):
        np.testing.assert_array_equal(saved, trained)
    assert restored.preprocessor.tokenizer.proto == vocabulary


def test_command_line(settings, tmp_path, capsys):
    block = substitute(code_blocks()["In Keras"][2], settings[1])
    printed = {}
    for program, name, *arguments in commands(block):
        assert program == "primer"
        assert main([name, *arguments]) == 0
        printed[name] = printed.get(name, "") + capsys.readouterr().out
    assert set(printed) == COMMANDS
    assert "gpt3_hellaswag" in printed["tasks"]
    assert "35,371,264" in printed["models"]
    assert Path("vocabulary.model").is_file()
    assert "step 2/2  validation loss" in printed["train"] and "Resuming at" in printed["train"]
    assert re.search(r"bits per byte \d", printed["evaluate"])
    assert printed["generate"].startswith("And it came to pass")
    assert (Path("runs/mine/serving/1") / "saved_model.pb").is_file()


def test_make_targets():
    targets = re.findall(r"^(\w[\w-]*):", MAKEFILE.read_text(), re.MULTILINE)
    for program, target in commands(code_blocks()["Two commands"][0]):
        assert program == "make" and target in targets


def test_every_block_is_run():
    """Here, or by continuous integration (the two commands), or by the tests of installations."""
    blocks = {heading: len(found) for heading, found in code_blocks().items()}
    assert blocks == {"Install": 1, "Two commands": 1, "In Keras": 3}


def test_every_indented_block_of_the_guides_is_run():
    """By `tests/mesh/test_install.py` and `tests/convert/test_guide.py`; the others have fences."""
    pages = [path for path in GUIDES.glob("*.md") if "```" not in path.read_text(encoding="utf-8")]
    counts = {path.name: sum(map(len, code_blocks(path).values())) for path in pages}
    assert counts == {"t5.md": 4, "two_engines.md": 2}


def test_layers_that_stand_alone():
    """Those README.md names are there, and so is the activation."""
    import primer_tf.layers

    text = README.read_text(encoding="utf-8")
    (sentence,) = re.findall(r"The layers stand alone:(.*?)\.\n", text, re.DOTALL)
    *names, activation = re.findall(r"`([^`]+)`", sentence)
    activation = getattr(primer_tf.layers, activation)
    assert len(names) >= 6
    for name in names:
        assert issubclass(getattr(primer_tf.layers, name), keras.layers.Layer)
    layer = keras.layers.Dense(2, activation=activation)
    assert layer.activation(keras.ops.convert_to_tensor([3.0])) == 9.0


def test_figures_of_presets():
    from primer_tf.gin_config.presets import preset_parameters

    figures = re.findall(r"`(\w+)`\s([\d,]{6,})", README.read_text(encoding="utf-8"))
    assert len(figures) >= 4
    for preset, figure in figures:
        assert f"{preset_parameters(preset):,}" == figure.rstrip(",")
