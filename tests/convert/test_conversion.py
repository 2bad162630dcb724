"""Mesh TensorFlow checkpoints convert to presets and back bit for bit, or with a clear error."""

import re
import shutil

import keras
import numpy as np
import pytest

from primer_tf import cli
from primer_tf.convert.keras_to_mesh import keras_to_mesh
from primer_tf.convert.mesh_checkpoint import MeshCheckpoint
from primer_tf.convert.mesh_to_keras import mesh_to_keras
from primer_tf.models import PrimerCausalLM
from primer_tf.models.training_state import read_training_state
from tests.convert.small_presets import make_preset, write_checkpoint


@pytest.mark.parametrize(
    "name",
    [
        "tiny_primer_ez",
        "tiny_primer",
        "tiny_transformer_plusplus",
        "tiny_evolved_transformer",
        "tiny_switch_primer",
        "tiny_synthesizer",
    ],
)
def test_there_and_back(name, vocabulary, tmp_path):
    model = make_preset(tmp_path / "preset", name, vocabulary)
    lines, mesh = [], tmp_path / "[v1] a\\b?"  # as a pattern it would not match itself
    keras_to_mesh(tmp_path / "preset", mesh, report=lines.append)
    mesh_to_keras(mesh, tmp_path / "again", report=lines.append)
    loaded = PrimerCausalLM.from_preset(str(tmp_path / "again"))
    names = {"name": loaded.backbone.name}
    assert loaded.backbone.get_config() == {**model.backbone.get_config(), **names}
    for variable, same in zip(model.backbone.weights, loaded.backbone.weights, strict=True):
        assert variable.path == same.path
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (variable, same)))
    assert loaded.preprocessor.tokenizer.proto == vocabulary
    (step, slots), (step_again, slots_again) = (
        read_training_state(tmp_path / folder) for folder in ("preset", "again")
    )
    assert step == step_again == 17 and slots.keys() == slots_again.keys()
    for key, slot in slots.items():
        np.testing.assert_array_equal(slot, slots_again[key])
    converted = [line for line in lines if line.startswith("Converted")]
    assert len(converted) == 2 and all("step 17" in line for line in converted)


def test_a_checkpoint_of_many_parts_reads_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr("primer_tf.convert.mesh_checkpoint.PART_BYTES", 100)
    rng = np.random.default_rng(0)
    arrays = {f"v{i}": rng.standard_normal((i + 1, 7)).astype("float32") for i in range(9)}
    write_checkpoint(tmp_path, 5, arrays.items())
    checkpoint = MeshCheckpoint(tmp_path)
    assert checkpoint.step == 5
    assert checkpoint.shapes == {name: array.shape for name, array in arrays.items()}
    for name, array in arrays.items():
        np.testing.assert_array_equal(checkpoint.read(name), array)
    assert len(list(tmp_path.glob("model.ckpt-5.data-*"))) > 1
    assert not list(tmp_path.glob(".checkpoint-*"))


def test_an_interrupted_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("primer_tf.convert.mesh_checkpoint.PART_BYTES", 100)

    def variables():
        yield "a", np.zeros(100)
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_checkpoint(tmp_path, 5, variables())
    assert not list(tmp_path.iterdir())


def fails(capsys, *arguments):
    """Runs the command and returns the error line that it ends with."""
    status = cli.main([str(a) for a in arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if "primer: error" in line]
    assert status == 1 and len(lines) == 1
    return lines[0]


def mesh_to_keras_fails(capsys, primer, tmp_path, *more, model_dir=None):
    target = tmp_path / "preset"
    where = ("convert", "mesh-to-keras", model_dir or primer / "mesh", target)
    line = fails(capsys, *where, *more)
    assert not target.exists()
    return line


@pytest.mark.parametrize(
    "more, message",
    [
        (["--gin_param", "d_ff = 32"], "DenseReluDense/wi/kernel should have shape"),
        (["--gin_param", "num_layers = 3"], "block_002/layer_000.* is not in it"),
        (["--gin_param", "num_layers = 1"], "it has transformer/block_001"),
        (["--gin_file", "models/tiny_primer_ez.gin"], "is not in it|should have shape"),
        (["--gin_param", "MDHA.num_haeds = 2"], "no argument 'num_haeds'; did you mean"),
        (["--gin_file", "nothing.gin"], "There is no gin file nothing.gin"),
        (["--step", "3"], "no checkpoint of step 3"),
        (["--vocabulary", "nothing.model"], "No such vocabulary: nothing.model"),
    ],
)
def test_arguments_that_do_not_fit(more, message, capsys, primer, tmp_path):
    line = mesh_to_keras_fails(capsys, primer, tmp_path, *more)
    assert re.search(message, line), line


@pytest.fixture
def as_published(primer, tmp_path):
    """A checkpoint with the operative configuration of a published run: pre placement."""
    folder = tmp_path / "published"
    shutil.copytree(primer / "mesh", folder)
    (folder / "operative_config.gin").write_text(
        'include "model.gin"\n'
        "transformer.make_layer_stack.layer_stack_cls = @transformer.LayerStack\n"
        "MDHA.num_memory_heads = 0\nMDHA.call.losses = None\nof.another.module = 1\n"
        "encoder/MDHA.num_heads = 99\n"
    )
    return folder


def test_an_operative_configuration_and_a_named_file_that_disagree(as_published, tmp_path):
    lines = []
    named = {"gin_files": [as_published / "model.gin"], "report": lines.append}
    mesh_to_keras(as_published, tmp_path / "named", **named)
    warning, converted = lines
    assert warning.startswith("Warning: not the model that was trained, by ")
    assert "placement is 'alternating', not 'pre'." in warning and "Converted" in converted
    lines.clear()
    mesh_to_keras(as_published, tmp_path / "ran", report=lines.append)
    note, converted = lines
    assert "encoder/MDHA.num_heads has no effect" in note and "Converted" in converted
    placements = [
        PrimerCausalLM.from_preset(str(tmp_path / name)).backbone.placement
        for name in ("named", "ran")
    ]
    assert placements == ["alternating", "pre"]
    # If they agree, there is no warning.
    lines.clear()
    named["bindings"] = ["make_layer_stack.layer_stack_cls = @transformer.LayerStack"]
    mesh_to_keras(as_published, tmp_path / "agreed", **named)
    assert len(lines) == 1 and "Converted" in lines[0]


def test_a_misspelled_binding_beside_an_operative_configuration(capsys, as_published, tmp_path):
    more = ["--gin_param", "MDHA.num_haeds = 2"]
    line = mesh_to_keras_fails(capsys, None, tmp_path, *more, model_dir=as_published)
    assert "no argument 'num_haeds'; did you mean" in line


def test_an_operative_configuration_of_another_attention(capsys, as_published, tmp_path):
    with open(as_published / "operative_config.gin", "a") as file:
        file.write("MDHA.shared_kv = True\n")
    line = mesh_to_keras_fails(capsys, None, tmp_path, model_dir=as_published)
    assert "does not support MDHA.shared_kv = True; it must be False" in line


def test_a_circular_include(capsys, primer, tmp_path):
    (tmp_path / "a.gin").write_text(f'include "{tmp_path}/a.gin"\n')
    line = mesh_to_keras_fails(capsys, primer, tmp_path, "--gin_file", tmp_path / "a.gin")
    assert "Circular include: a.gin includes a.gin" in line


def test_folders_without_a_checkpoint(capsys, primer, tmp_path):
    line = mesh_to_keras_fails(capsys, primer, tmp_path, model_dir=tmp_path / "nowhere")
    assert "There is no folder" in line
    (tmp_path / "empty").mkdir()
    line = mesh_to_keras_fails(capsys, primer, tmp_path, model_dir=tmp_path / "empty")
    assert "There is no checkpoint in" in line


def test_a_damaged_checkpoint(capsys, primer, tmp_path):
    broken = tmp_path / "mesh"
    shutil.copytree(primer / "mesh", broken)
    (data,) = broken.glob("*.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    line = mesh_to_keras_fails(capsys, primer, tmp_path, model_dir=broken)
    assert "is damaged" in line


def test_a_partial_checkpoint(capsys, primer, tmp_path):
    whole = MeshCheckpoint(primer / "mesh")
    missing = "transformer/block_001/layer_001/DenseReluDense/wo/bias"
    partial = tmp_path / "mesh"
    shutil.copytree(primer / "mesh", partial)
    names = [name for name in whole.shapes if name != missing]
    write_checkpoint(partial, whole.step, ((name, whole.read(name)) for name in names))
    line = mesh_to_keras_fails(capsys, primer, tmp_path, model_dir=partial)
    assert f"{missing} of shape (16,) is not in it" in line


def test_a_vocabulary_of_another_size(capsys, primer, tmp_path):
    from primer_tf.data.vocabulary import train_vocabulary

    letters = np.random.default_rng(0).choice(list("abcdefghij"), (800, 6))
    words = ["".join(word) for word in letters]
    text = [" ".join(words[i : i + 8]) for i in range(0, 800, 8)]
    (tmp_path / "other.model").write_bytes(train_vocabulary(text, size=400))
    line = mesh_to_keras_fails(capsys, primer, tmp_path, "--vocabulary", tmp_path / "other.model")
    assert "400 pieces, more than the 384 rows" in line


def test_presets_that_do_not_convert(capsys, primer, tmp_path, vocabulary):
    line = fails(capsys, "convert", "keras-to-mesh", tmp_path / "nowhere", tmp_path / "mesh")
    assert "nowhere" in line
    line = fails(capsys, "convert", "keras-to-mesh", primer / "preset", primer / "mesh")
    assert "holds checkpoints already" in line
    write_odd_preset(tmp_path / "odd", vocabulary, activation="softmax")
    line = fails(capsys, "convert", "keras-to-mesh", tmp_path / "odd", tmp_path / "mesh")
    assert "no counterpart of the activation 'softmax'" in line
    assert not (tmp_path / "mesh").exists()


def write_odd_preset(path, vocabulary, **arguments):
    """Writes a preset of a model that no gin file of this package describes."""
    model = make_preset(path, "tiny_primer", vocabulary)
    config = {**model.backbone.get_config(), **arguments}
    odd = PrimerCausalLM(type(model.backbone).from_config(config), model.preprocessor)
    odd.save_to_preset(str(path))
    (path / "training_state.npz").unlink(missing_ok=True)
    return odd.backbone.get_config()


def test_a_model_that_no_gin_file_describes(tmp_path, vocabulary):
    odd = {"max_distance": 64, "kernel_size": 5, "placement": "post", "vocabulary_size": 300}
    odd |= {"activation": "mish", "block": ["feed_forward", "attention", "feed_forward"]}
    config = write_odd_preset(tmp_path / "odd", vocabulary, **odd)
    lines = []
    keras_to_mesh(tmp_path / "odd", tmp_path / "mesh", report=lines.append)
    assert "100 sentinels to the 300 pieces" in lines[0] and "the 300 rows" in lines[0]
    mesh_to_keras(tmp_path / "mesh", tmp_path / "again", report=lines.append)
    again = PrimerCausalLM.from_preset(str(tmp_path / "again")).backbone.get_config()
    assert again == {**config, "name": again["name"]}


def test_damaged_training_state(capsys, primer, tmp_path):
    preset = tmp_path / "preset"
    shutil.copytree(primer / "preset", preset)
    (preset / "training_state.npz").write_bytes(b"no archive")
    line = fails(capsys, "convert", "keras-to-mesh", preset, tmp_path / "mesh")
    assert "training_state.npz is damaged" in line and "delete it" in line
