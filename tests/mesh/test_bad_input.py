"""Mistakes of users end in one clear line and a non-zero exit status."""

import pytest

from tests.mesh.tf1 import in_tf1


@in_tf1
def test_wrong_gin_files_bindings_and_flags(tmp_path):
    from tests.mesh.command import corpus, failure

    data, model = corpus(str(tmp_path)), str(tmp_path / "model")
    misspelled = tmp_path / "misspelled.gin"
    misspelled.write_text("include 'models/tiny_primer.gin'\nd_modl = 3\n")
    for wrong, clue in (
        ({"DenseReluDense.hiden_size": 4}, "hiden_size"),
        ({"NoSuchLayer.size": 4}, "NoSuchLayer"),
        ({"files": ["models/no_such.gin"]}, "models/no_such.gin"),
        ({"flags": ["--tpu=my-tpu"]}, "hardware/cpu.gin"),
        ({"flags": ["--t5_tfds_data_dir=/no/such/folder"]}, "/no/such/folder"),
        ({"utils.run.mode": "trian"}, "trian"),
        ({"TRAIN_STEP": 3}, "'TRAIN_STEP'; did you mean 'TRAIN_STEPS'?"),
        ({"files": [str(misspelled)]}, "'d_modl'; did you mean 'd_model'?"),
    ):
        assert clue in failure(model, "train", TRAIN_STEPS=1, **{**data, **wrong})


@in_tf1
def test_the_users_gin_file_comes_before_ours(tmp_path):
    from gin import config

    from tests.mesh.command import failure

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny_primer.gin").write_text("Unitransformer.of_the_user = 1\n")
    folders = list(config._LOCATION_PREFIXES)
    try:
        line = failure(str(tmp_path / "m"), "train", flags=[f"--gin_location_prefix={tmp_path}"])
    finally:
        config._LOCATION_PREFIXES[:] = folders
    assert "of_the_user" in line and f"{tmp_path}/models/tiny_primer.gin" in line


@in_tf1
def test_missing_data_vocabulary_and_targets(tmp_path):
    import seqio
    import tensorflow as tf

    from primer_tf.tasks import seqio_tasks
    from tests.mesh.command import corpus, failure

    data, model = corpus(str(tmp_path)), str(tmp_path / "model")
    (tmp_path / "empty.txt").write_text("")
    if "no_targets" not in seqio.TaskRegistry.names():
        seqio.TaskRegistry.add(
            "no_targets",
            source=seqio.FunctionDataSource(
                lambda split, shuffle_files, seed=None: tf.data.Dataset.from_tensors(
                    {"inputs": "light"}
                ),
                splits=["train"],
            ),
            preprocessors=[seqio.preprocessors.tokenize],
            output_features={"inputs": seqio.Feature(seqio_tasks.ConfiguredVocabulary())},
        )
    for wrong, clue in (
        ({"VOCABULARY": "/no/such.model"}, "sentencepiece_model.path = "),
        ({"VOCABULARY": str(tmp_path / "text.txt")}, "text.txt"),
        ({"TRAIN_FILES": None}, "TRAIN_FILES"),
        ({"TRAIN_FILES": "/no/such.txt"}, "/no/such.txt"),
        ({"TRAIN_FILES": str(tmp_path / "empty.txt")}, "empty.txt"),
        ({"MIXTURE_NAME": "no_such_task"}, "no_such_task"),
        ({"MIXTURE_NAME": "no_targets"}, "targets"),
    ):
        message = failure(model, "train", TRAIN_STEPS=1, **{**data, **wrong})
        assert clue in message, message


@in_tf1
def test_meshes_and_batches_that_do_not_fit(tmp_path):
    from tests.mesh.command import corpus, failure

    data, model = corpus(str(tmp_path)), str(tmp_path / "model")
    for wrong, clue in (
        ({"hardware": "cpu_mesh", "MESH": "batch:3"}, "4 sequences cannot be divided among 3"),
        (
            {"utils.run.mesh_shape": "batch:2", "utils.run.mesh_devices": ["cpu:0"]},
            "2 part(s) but utils.run.mesh_devices names 1",
        ),
        ({"hardware": "gpu", "MESH": "batch:4", "TOKENS_PER_BATCH": 128}, "4 GPU(s)"),
        ({"hardware": "cpu_mesh", "MESH": "model:3"}, "not divisible by mesh"),
        ({"TOKENS_PER_BATCH": 100}, "100 is not divisible by 32"),
    ):
        message = failure(model, "train", TRAIN_STEPS=1, **{**data, **wrong})
        assert clue in message, message


@in_tf1
def test_decoding_and_scoring_without_checkpoint_or_text(tmp_path):
    from tests.mesh.command import corpus, failure, t5

    data, model = corpus(str(tmp_path)), str(tmp_path / "model")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("light\n")
    sizes = dict(PROMPT_LENGTH=4, DECODE_LENGTH=4, OUTPUT=str(tmp_path / "out"))
    decode = dict(data, **sizes, INPUT=str(prompts))
    assert "no checkpoint" in failure(model, "decode", **decode)
    assert "no checkpoint" in failure(model, "perplexity_eval", **data)
    assert "no checkpoint" in failure(model, "eval", **data)
    assert "no checkpoint" in failure(model, "export", EXPORT_DIR=str(tmp_path / "e"), **data)
    score = dict(data, TARGETS=str(prompts), SCORES=str(tmp_path / "scores"))
    assert "no checkpoint" in failure(model, "score", **score)
    t5(model, "train", TRAIN_STEPS=1, **data)
    (tmp_path / "empty.txt").write_text("\n")
    for wrong, clue in (
        (str(tmp_path / "empty.txt"), "is empty"),
        (str(tmp_path / "none.txt"), "There is no file"),
        (str(tmp_path), "is a folder"),
        (data["VOCABULARY"], "not UTF-8"),
    ):
        assert clue in failure(model, "decode", **{**decode, "INPUT": wrong})
        assert clue in failure(model, "score", **{**score, "TARGETS": wrong})
    assert "split named test" in failure(model, "eval", **{**data, "run.dataset_split": "test"})
    assert "no text as long as" in failure(model, "eval", PROMPT_LENGTH=10**4, **data)
    assert not (tmp_path / "out-1").exists()


@pytest.mark.parametrize(
    "damage",
    [
        "foreign",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("cut", "garbage", "gone", "index")),
    ],
)
@in_tf1
def test_damaged_and_foreign_checkpoints(tmp_path, damage):
    from tests.mesh.command import corpus, failure, t5

    data, model = corpus(str(tmp_path)), tmp_path / "model"
    t5(str(model), "train", TRAIN_STEPS=1, **data)
    largest = max(model.glob("model.ckpt-1.data*"), key=lambda path: path.stat().st_size)
    more = {}
    if damage == "garbage":
        content = bytearray(largest.read_bytes())
        content[: len(content) // 2] = b"x" * (len(content) // 2)
        largest.write_bytes(content)
    elif damage == "cut":
        largest.write_bytes(largest.read_bytes()[:100])
    elif damage == "gone":
        for path in model.glob("model.ckpt-1.*"):
            path.unlink()
    elif damage == "index":
        (model / "model.ckpt-1.index").write_bytes(b"nonsense")
    else:
        more = {"d_model": 32}
    clue = "another model" if damage == "foreign" else "model.ckpt-1"
    for run, bindings in (("train", {"TRAIN_STEPS": 5}), ("perplexity_eval", {"CHECKPOINT": -1})):
        message = failure(str(model), run, **data, **bindings, **more)
        assert clue in message, message
