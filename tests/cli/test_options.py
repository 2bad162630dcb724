"""The options of `primer train` are the fields of `RunConfig`."""

import dataclasses
import json
import re
import shlex

import pytest

import primer_tf.tasks.text
from primer_tf.cli import build_parser, main
from primer_tf.errors import UserError
from primer_tf.training.config import RunConfig, config_field

# Fields whose default is one of several names.
NAMES = ("dtype", "optimizer", "schedule")
NO_OPTIONS = ("architecture", "first_step")
OPTIONS = [field for field in dataclasses.fields(RunConfig) if field.name not in NO_OPTIONS]


@pytest.fixture
def usage(capsys):
    """Returns the help of a subcommand in one line."""

    def usage(command):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        return " ".join(capsys.readouterr().out.split())

    return usage


def test_every_field_is_an_option_with_its_help_and_default(usage):
    text = usage("train")
    for field in OPTIONS:
        start = text.rindex(f" --{field.name} ")
        # The help of an option ends where the next option begins.
        shown = re.split(r" --\w+ ", text[start + 1 :])[0]
        assert field.metadata["help"] in shown, field.name
        if type(field.default) in (int, float) or field.name in NAMES:
            assert shown.endswith(f"(default: {field.default})"), field.name
        else:
            assert "(default" not in shown, field.name


@pytest.mark.parametrize("command", ["train", "vocab", "evaluate"])
def test_data_takes_every_kind_of_source(usage, command):
    """The page of `primer_tf.tasks.text` names them in backticks."""
    kinds = re.findall(r"`(\.?\w+:?)", primer_tf.tasks.text.__doc__)
    assert {"demo", "seqio:", "tfds:", ".json", ".jsonl", "lm:"} <= set(kinds)
    text = usage(command)
    text = text[text.rindex(" --data ") :]
    for kind in {*kinds, "globs"} - {"text"}:
        assert kind in text, kind


VALUES = {
    "validation_data": None,  # Another text would be another file.
    "vocabulary": None,  # Trained.
    "vocabulary_size": 290,
    "steps": 2,
    "batch_size": 3,
    "gradient_accumulation_steps": 2,
    "sequence_length": 9,
    "interval": 2,
    "optimizer": "adamw",
    "weight_decay": 0.2,
    "global_clipnorm": 1.5,
    "ema_momentum": 0.9,
    "schedule": "rsqrt",  # The others take no `ramp_up_steps`.
    "learning_rate": 0.002,
    "linear_decay_fraction": 0.25,
    "max_restarts": 2,
    "warmup_steps": 500,
    "learning_rate_scale": 0.5,
    "ramp_up_steps": 4,
    "z_loss": 0.001,
    "label_smoothing": 0.2,
    "dropout": 0.1,
    "gradient_checkpointing": True,
    "dtype": "mixed_bfloat16",
    "seed": 2**32 - 1,
}


def test_every_option_reaches_the_run(tmp_path, small_preset, text_file):
    """The record of the run holds what was typed, and no value is the default one."""
    given = {"preset": str(small_preset), "data": str(text_file), **VALUES}
    assert given.keys() == {field.name for field in OPTIONS}
    arguments = ["train", "--output", str(tmp_path / "out")]
    for name, value in given.items():
        if value is not None:
            assert name == "schedule" or value != config_field(name).default
            arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    # A file where the checkpoints belong ends the run once its record is written.
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoints").touch()
    assert main(arguments) == 1
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert {name: record[name] for name in given} == given


def test_options_that_are_not_given_stay_absent():
    """A resumed run keeps its own values instead of taking defaults."""
    arguments = build_parser().parse_args(["train", "--resume", "--output", "x", "--steps", "7"])
    names = {field.name for field in OPTIONS}
    assert {key: value for key, value in vars(arguments).items() if key in names} == {"steps": 7}


def test_an_error_calls_an_option_by_its_name(capsys):
    assert main(["vocab", "--data", "demo", "--output", "x", "--size", "0"]) == 1
    assert "error: size must be at least 1 and below 2**31; received 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("steps", True, "an integer"),
        ("steps", 1.0, "an integer"),
        ("steps", "5", "an integer"),
        ("steps", None, "an integer"),
        ("steps", 2**31, "at least 1 and below 2**31"),
        ("ramp_up_steps", -1, "at least 0 and below 2**31"),
        ("seed", 2**32, "at least 0 and below 2**32"),
        ("learning_rate_scale", 0, "a positive number"),
        ("learning_rate_scale", float("inf"), "a positive number"),
        ("z_loss", 10**400, "zero or a positive number"),
        ("z_loss", float("nan"), "zero or a positive number"),
        ("dropout", "0.1", "a number"),
        ("label_smoothing", 1.0, "at least 0 and below 1"),
        ("preset", 5, "a string"),
        ("optimizer", "sgd", "one of adafactor, adamw, muon"),
        ("schedule", "square", "one of rsqrt, cosine, linear, wsd"),
        ("learning_rate", "0.1", "a number"),
        ("linear_decay_fraction", 1.5, "at least 0 and at most 1"),
        ("ema_momentum", 1.0, "at least 0 and below 1"),
        ("vocabulary", 5, "a string"),
        ("gradient_checkpointing", 1, "true or false"),
        ("architecture", [], "a table of arguments"),
        ("dtype", "int8", "one of float32, float64, float16, bfloat16, mixed_float16"),
    ],
)
def test_values_that_a_field_cannot_have(name, value, expected):
    with pytest.raises(UserError, match=rf"^{name} must be ") as error:
        RunConfig(**{"preset": "x", "data": "y", name: value})
    assert expected in str(error.value) and repr(value) in str(error.value)


def test_a_configuration_prints_itself():
    """As options of the command line, without those at their defaults."""
    config = RunConfig("tiny_primer", "my text.txt", steps=7, gradient_checkpointing=True)
    expected = "--preset tiny_primer --data 'my text.txt' --steps 7 --gradient_checkpointing"
    assert str(config) == expected
    arguments = build_parser().parse_args(["train", "--output", "x", *shlex.split(expected)])
    assert {name: getattr(arguments, name) for name in ("data", "steps")} == {
        "data": "my text.txt",
        "steps": 7,
    }


def test_whole_numbers_are_numbers():
    assert RunConfig(preset="x", data="y", z_loss=1, learning_rate_scale=2).z_loss == 1


def test_every_dtype_is_a_policy_of_keras():
    import keras

    from primer_tf.training.config import POLICIES

    for name in POLICIES:
        assert keras.dtype_policies.get(name).name == name
