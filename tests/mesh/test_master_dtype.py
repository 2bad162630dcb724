"""Checkpoints in bfloat16, Mesh TensorFlow's default, work with our gin files' float32."""

import re

import numpy as np
import pytest

from tests.mesh.tf1 import in_tf1

DTYPE = "utils.get_variable_dtype.master_dtype"


@pytest.fixture(scope="module")
def bfloat16_run(tmp_path_factory, tf1_process):
    """A folder with a vocabulary, a text, and `model`, which T5 has trained for two steps."""
    folder = tmp_path_factory.mktemp("bfloat16")
    train(folder=str(folder), tf1_process=tf1_process)
    return folder


@in_tf1
def train(folder):
    from tests.mesh.command import corpus, t5

    data = corpus(folder)
    # As for users without our gin files, this does not use their macro.
    data["sentencepiece_model.path"] = data.pop("VOCABULARY")
    more = {DTYPE: "bfloat16", "run.save_checkpoints_steps": 1, "run.keep_checkpoint_max": 2}
    t5(f"{folder}/model", "train", TRAIN_STEPS=2, **data, **more)


@pytest.mark.slow
@in_tf1
def test_t5_trains_evaluates_and_exports_with_our_gin_files(tmp_path, bfloat16_run):
    import os
    import shutil

    import tensorflow.compat.v1 as tf

    from tests.mesh.command import corpus, failure, t5

    model, data = str(tmp_path / "model"), corpus(str(bfloat16_run))
    shutil.copytree(bfloat16_run / "model", model)
    before = tf.train.load_checkpoint(f"{model}/model.ckpt-2")
    dtypes = before.get_variable_to_dtype_map()
    assert dtypes["transformer/embedding"] == tf.bfloat16
    assert {dtype for name, dtype in dtypes.items() if "_slot_" in name} == {tf.float32}

    # The perplexity does not depend on the dtype in the gin files.
    perplexities = {}
    for dtype in ("bfloat16", "float32"):
        printed = t5(model, "perplexity_eval", CHECKPOINT=-1, BATCHES=2, **data, **{DTYPE: dtype})
        assert ("holds bfloat16" in printed) == (dtype == "float32")
        (perplexities[dtype],) = re.findall(r"at step 2: perplexity [\d.]+, .*", printed)
    assert perplexities["float32"] == perplexities["bfloat16"]

    # An exported model has the same weights.
    t5(model, "export", EXPORT_DIR=str(tmp_path / "export"), **data)
    (version,) = os.listdir(tmp_path / "export")
    exported = tf.train.load_checkpoint(str(tmp_path / "export" / version / "variables/variables"))
    names = [name for name in dtypes if name.startswith("transformer/") and "_slot_" not in name]
    for name in names:
        np.testing.assert_array_equal(
            exported.get_tensor(name), before.get_tensor(name).astype("float32"), err_msg=name
        )

    # Training continues from the same weights, as a learning rate of 0 shows. It saves float32, and
    # deletes old checkpoints as if a single run had written them all.
    still = {"utils.run.learning_rate_schedule": 0.0, "run.keep_checkpoint_max": 1}
    t5(model, "train", TRAIN_STEPS=3, **data, **still)
    after = tf.train.load_checkpoint(f"{model}/model.ckpt-3")
    assert not {tf.bfloat16} & set(after.get_variable_to_dtype_map().values())
    for name in names:
        np.testing.assert_array_equal(
            after.get_tensor(name), before.get_tensor(name).astype("float32"), err_msg=name
        )
    assert not os.path.exists(f"{model}/model.ckpt-1.index")

    # The other way round, precision would be lost.
    for run, more in (("train", {"TRAIN_STEPS": 4}), ("perplexity_eval", {})):
        message = failure(model, run, **data, **more, **{DTYPE: "bfloat16"})
        assert "as float32, which bfloat16 would round" in message, message
        assert f"{DTYPE} = 'float32'" in message


def test_conversion_keeps_the_values(tmp_path, bfloat16_run):
    import tensorflow as tf

    from primer_tf.convert.mesh_to_keras import mesh_to_keras
    from primer_tf.convert.variable_names import mesh_names
    from primer_tf.models import PrimerBackbone
    from primer_tf.models.training_state import slots_of
    from primer_tf.optimizers import T5Adafactor

    mesh_to_keras(bfloat16_run / "model", tmp_path / "preset", report=lambda line: None)
    backbone = PrimerBackbone.from_preset(str(tmp_path / "preset"))
    checkpoint = tf.train.load_checkpoint(str(bfloat16_run / "model" / "model.ckpt-2"))
    names = mesh_names(backbone)
    for variable in backbone.weights:
        assert variable.dtype == "float32"
        expected = checkpoint.get_tensor(names[variable.path]).astype("float32")
        np.testing.assert_array_equal(np.asarray(variable.numpy()), expected, err_msg=variable.path)
    step, slots = slots_of(tmp_path / "preset", backbone.weights, T5Adafactor())
    assert step == 2 and len(slots) >= len(names)
