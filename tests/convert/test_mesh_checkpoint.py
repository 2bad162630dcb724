"""Mesh TensorFlow checkpoints in folders of any name, and errors about damaged ones."""

import os
import re

import numpy as np
import pytest

from primer_tf.convert.mesh_checkpoint import MeshCheckpoint
from primer_tf.errors import UserError
from primer_tf.literal_paths import as_named, check_loadable, literal
from tests.convert.small_presets import write_checkpoint

NAMES = ["[v1]", "v?", "v*", "a\\b", "[", "{a,b}", "a b", "ä漢", "~", "$HOME", "corrupt"]


def write(folder):
    arrays = [("a", np.arange(500.0)), ("b", np.float32([1, 2]))]
    write_checkpoint(folder, 3, arrays)
    return arrays


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name(tmp_path, name):
    arrays = write(tmp_path / name)
    write(tmp_path / "v1")
    checkpoint = MeshCheckpoint(tmp_path / name)
    assert checkpoint.path == str(tmp_path / name / "model.ckpt-3") and checkpoint.step == 3
    for variable, array in arrays:
        np.testing.assert_array_equal(checkpoint.read(variable), array)
    assert sorted(os.listdir(tmp_path)) == sorted({name, "v1"})


@pytest.mark.parametrize("name", NAMES)
def test_literal(tmp_path, name):
    """As a pattern, the literal name of a folder matches that folder and no other."""
    import tensorflow as tf

    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "other").touch()
    path = literal(tmp_path / name)
    (tmp_path / name / "file").mkdir(parents=True)
    assert tf.io.gfile.glob(f"{path}/*") == [f"{path}/file"]
    assert literal(tmp_path / name) == literal(path) == path
    assert as_named(f"in {path}/x") == f"in {tmp_path / name}/x"


def edit(path, change):
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


def flip(content):
    content[500] ^= 0x55
    return content


def to_folder(path):
    path.unlink()
    path.mkdir()


DATA, INDEX = "model.ckpt-3.data-00000-of-00001", "model.ckpt-3.index"
DAMAGES = {
    "flipped": (DATA, lambda p: edit(p, flip), "is damaged .*hecksum"),
    "cut": (DATA, lambda p: edit(p, lambda content: content[:100]), "is damaged .*less bytes"),
    "empty": (DATA, lambda p: p.write_bytes(b""), "is damaged .*less bytes"),
    "nonsense": (INDEX, lambda p: p.write_bytes(b"x" * 1000), "is damaged .*sstable"),
    "gone": (DATA, lambda p: p.unlink(), rf"cannot be read: .*/{DATA} is missing\."),
    "folder": (DATA, to_folder, "cannot be read: .*Is a directory"),
}


@pytest.mark.parametrize("name", ["corrupt", "[v1]"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_only_damage_is_called_damage(tmp_path, damage, name):
    """No error advises the user to delete files that may be intact."""
    file, do, message = DAMAGES[damage]
    write(tmp_path / name)
    do(tmp_path / name / file)
    with pytest.raises(UserError) as raised:
        MeshCheckpoint(tmp_path / name).read("a")
    line = str(raised.value)
    assert re.search(message, line) and "\n" not in line
    assert line.startswith(f"The checkpoint {tmp_path / name}/model.ckpt-3 ")
    assert ("damaged" in line) == ("is damaged" in message)
    assert "delete" not in line and "/primer_tf-" not in line


def test_the_file_that_names_the_newest_cannot_be_read(tmp_path):
    write(tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"\xff")
    with pytest.raises(UserError, match=f"Cannot read {tmp_path}/checkpoint: "):
        MeshCheckpoint(tmp_path)


def test_a_saved_model_that_tensorflow_could_not_load(tmp_path):
    """The check rejects exactly the folders from which TensorFlow's loader fails to read."""
    import tensorflow as tf

    one = {"tensor_names": ["v"], "shape_and_slices": [""]}
    for name in NAMES:
        (tmp_path / name).mkdir()
        prefix = str(tmp_path / name / "variables")
        tf.raw_ops.SaveV2(prefix=prefix, tensors=[1.0], **one)
        try:  # as its loader does
            tf.raw_ops.RestoreV2(prefix=prefix, dtypes=[tf.float32], **one)
        except tf.errors.NotFoundError:
            with pytest.raises(UserError, match="cannot load a SavedModel from"):
                check_loadable(tmp_path / name)
        else:
            check_loadable(tmp_path / name)
