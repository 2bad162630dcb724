"""The commands of the paper's authors run unchanged in a miniature of their folder."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from primer_tf.cli import main
from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.model_arguments import backbone_arguments
from primer_tf.gin_config.presets import preset_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.gin_config.run_arguments import run_arguments
from tests.mesh import authors_folder
from tests.mesh.authors_folder import TASK
from tests.mesh.tf1 import in_tf1

SIZES = dict.fromkeys(
    [
        "hidden_dim",
        "head_dim",
        "intermediate_dim",
        "max_sequence_length",
        "num_heads",
        "num_layers",
        "vocabulary_size",
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vocabulary):
    """The miniature, with the vocabulary `pieces.model`."""
    path = tmp_path_factory.mktemp("authors")
    authors_folder.write(path)
    (path / "pieces.model").write_bytes(vocabulary)
    return path


@pytest.fixture
def prepared_data(tfds_folder):
    """Lets SeqIO in this process find the datasets of the published tasks."""
    import seqio

    seqio.set_tfds_data_dir_override(tfds_folder)
    yield
    seqio.set_tfds_data_dir_override(None)


def resolved(mode, *more):
    """Returns the bindings of a command in the current folder."""
    arguments = [argument.split("=", 1) for argument in authors_folder.arguments(mode, "v.model")]
    given = {flag: [v for f, v in arguments if f == flag] for flag, _ in arguments}
    read = gin_reader.read(
        given["--gin_file"], [*given["--gin_param"], *more], given["--gin_location_prefix"]
    )
    return ResolvedBindings(read, note=lambda line: None)


def test_keras_reads_the_files(folder, monkeypatch):
    monkeypatch.chdir(folder)
    model = backbone_arguments(resolved("train"))
    assert {**model, **SIZES} == {**preset_arguments("tiny_primer_as_published"), **SIZES}
    fields = run_arguments(resolved("train", "utils.run.train_steps = 7"))
    assert fields["data"] == f"seqio:{TASK}"
    assert fields["vocabulary"] == "v.model"
    assert (fields["sequence_length"], fields["batch_size"], fields["steps"]) == (32, 4, 7)
    for binding in (
        "unsupervised.preprocessors = [@preprocessors.reduce_concat_tokens]",
        "select_random_chunk.max_length = 512",
    ):
        with pytest.raises(UserError, match=f"does not support {binding.split(' ')[0]}"):
            run_arguments(resolved("train", binding))


@pytest.mark.slow
def test_primer_train(folder, prepared_data, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(folder)
    arguments = authors_folder.arguments(
        "train", folder / "pieces.model", **{"utils.run.train_steps": 2}
    )
    status = main(["train", "--output", str(tmp_path / "run"), "--dtype", "float32", *arguments])
    assert status == 0, capsys.readouterr().err
    assert "step 2/2" in capsys.readouterr().out


@in_tf1
def test_tasks_of_the_user_replace_ours(folder, tfds_folder):
    import gin
    import seqio
    import tensorflow.compat.v1 as tf
    import tensorflow_datasets as tfds
    from t5.data import preprocessors

    from primer_tf.tasks import seqio_tasks  # before theirs

    registry = dict(seqio.TaskRegistry._REGISTRY)
    gin.clear_config()
    gin.bind_parameter("sentencepiece_model.path", str(folder / "pieces.model"))
    gin.bind_parameter(
        "preprocessors.unsupervised.preprocessors",
        [
            preprocessors.select_random_chunk,
            preprocessors.reduce_concat_tokens,
            preprocessors.split_tokens_to_targets_length,
        ],
    )
    gin.bind_parameter("preprocessors.select_random_chunk.max_length", 65536)
    try:
        runpy.run_path(str(folder / "t5_tasks.py"))
        theirs, ours = seqio.TaskRegistry.get(TASK), registry[TASK]
        assert theirs is not ours
        seqio_tasks.register()  # ours, now after theirs
        assert seqio.TaskRegistry.get(TASK) is theirs
        rows = {}
        for name, task in (("theirs", theirs), ("ours", ours)):
            task.source.tfds_dataset.override_data_dir(tfds_folder)
            with tf.Graph().as_default():
                data = task.get_dataset({"targets": 32}, "train", shuffle=False)
                rows[name] = [list(row["targets"]) for row in tfds.as_numpy(data)]
        # Theirs uses T5's default vocabulary, which gin configures, too.
        assert len(rows["ours"]) > 10 and rows["theirs"] == rows["ours"]
        # Other duplicates are still errors.
        with pytest.raises(ValueError, match="duplicate provider"):
            seqio.TaskRegistry.add_provider(TASK, ours)
    finally:
        seqio.TaskRegistry._REGISTRY.clear()
        seqio.TaskRegistry._REGISTRY.update(registry)


@pytest.mark.slow
def test_published_commands(folder, tfds_folder, prepared_data, tmp_path):
    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.evaluation.evaluator import Evaluator
    from primer_tf.models import PrimerCausalLM

    def t5(mode, *more, model_dir="m", **bindings):
        command = [
            Path(sys.executable).parent / "t5_mesh_transformer",
            f"--model_dir={tmp_path / model_dir}",
            f"--t5_tfds_data_dir={tfds_folder}",
            "--module_import=t5_imports",
            *authors_folder.arguments(mode, "pieces.model", **bindings),
            *more,
        ]
        done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stderr

    assert re.search(r"step 3/3  loss \d", t5("train", **{"utils.run.train_steps": 3}))
    # Their command for evaluation does not cut documents into chunks.
    printed = t5("perplexity_eval")
    assert re.search(rf"evaluated {TASK}_validation_\d+ at step 3: perplexity \d", printed)
    printed = t5("perplexity_eval", "--gin_file=objectives/lm.gin")
    perplexity = float(re.search(r"perplexity ([\d.]+)", printed)[1])

    # Their checkpoint converts with the configuration that their run wrote, vocabulary included.
    (tmp_path / "m" / "operative_config.gin").write_text(
        (tmp_path / "m" / "operative_config.gin")
        .read_text()
        .replace("'pieces.model'", repr(str(folder / "pieces.model")))
    )
    preset = str(tmp_path / "preset")
    assert main(["convert", "mesh-to-keras", str(tmp_path / "m"), preset]) == 0
    model = PrimerCausalLM.from_preset(preset)
    tokenizer = model.preprocessor.tokenizer
    chunks, text = load_chunks(f"seqio:{TASK}", "validation", tokenizer, 32)
    evaluation = Evaluator(model, chunks, text, 4)()
    assert evaluation.perplexity == pytest.approx(perplexity, rel=1e-3)

    # With our gin files, too, the user's tasks and layers replace ours.
    ours = ["models/tiny_primer.gin", "run/train.gin", "hardware/cpu.gin", "objectives/lm.gin"]
    beside = {"utils.run.train_steps": 1, "num_layers": 1}
    printed = t5("train", *(f"--gin_file={name}" for name in ours), model_dir="beside", **beside)
    assert re.search(r"step 1  loss \d", printed)
    assert "Gin files get t5_models.MDHA from another module." in printed
