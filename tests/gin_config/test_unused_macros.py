"""Misspelled macros are errors that name the nearest one; macros without a use are not."""

import pytest

from primer_tf.cli import main
from primer_tf.convert.from_gin import from_gin
from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.presets import preset_names
from primer_tf.gin_config.unused_macros import check_macros
from tests.mesh.paper_values import AS_PUBLISHED, PUBLISHED

RUN = ["models/tiny_primer.gin", "run/train.gin", "hardware/cpu.gin"]


@pytest.mark.parametrize(
    "binding, message",
    [
        ("TRAIN_STEP = 3", "the binding 'TRAIN_STEP = 3': nothing uses the macro 'TRAIN_STEP'; "
         "did you mean 'TRAIN_STEPS'?"),
        ("d_modl = 3", "did you mean 'd_model'?"),
        ("COLOUR = 'red'", "nothing uses the macro 'COLOUR'; leave it out."),
    ],
)  # fmt: skip
def test_given_one_by_one(binding, message):
    with pytest.raises(UserError) as error:
        check_macros(gin_reader.read(RUN, [binding]))
    assert message in str(error.value)


def test_in_a_file(tmp_path):
    path = tmp_path / "mine.gin"
    path.write_text('include "models/tiny_primer.gin"\nd_modl = 3\n')
    with pytest.raises(UserError, match=r"mine.gin, line 2: .*'d_modl'; did you mean 'd_model'"):
        from_gin(path)


def test_on_the_command_line(capsys):
    files = [f"--gin_file={name}" for name in RUN]
    assert main(["train", *files, "--gin_param=TRAIN_STEP=3", "--output", "no_such_folder"]) == 1
    assert "did you mean 'TRAIN_STEPS'?" in capsys.readouterr().err


def test_a_macro_in_a_file_may_have_no_use(tmp_path):
    path = tmp_path / "mine.gin"
    path.write_text('include "models/tiny_primer.gin"\nNOTE = "ours"\nnum_experts = 3\n')
    check_macros(gin_reader.read([path], ["num_layers = 2", "vocabulary_size = 300"]))


def test_a_macro_may_be_part_of_a_value(tmp_path):
    path = tmp_path / "mine.gin"
    path.write_text("SIZE = 3\na.b = [1, ('x', %SIZE)]\n")
    check_macros(gin_reader.read([path], ["LENGTH = 4", "a.c = {'y': %LENGTH}"]))


def test_the_files_of_the_zoo_have_none():
    assert len(PUBLISHED | AS_PUBLISHED) < len(preset_names())
    for name in preset_names():
        check_macros(gin_reader.read([f"models/{name}.gin", *RUN[1:]]))
