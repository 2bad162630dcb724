"""`primer generate`: samplers and lengths, stop texts, JSON, streaming, and the folder of a run."""

import io
import json
import shutil
import sys

import pytest

from primer_tf.cli import main
from primer_tf.cli.load import load
from primer_tf.errors import UserError
from primer_tf.models.completer import Completer
from primer_tf.training.callbacks.stop_at_signal import StopAtSignal
from primer_tf.training.record import preset_of_run
from tests.cli.tiny_runs import check
from tests.pseudo_terminal import run_on_terminal


@pytest.fixture(scope="module")
def learned(small_preset, tmp_path_factory):
    """The folder of a run that has learned to count, and what was in it at each evaluation."""
    folder, found = tmp_path_factory.mktemp("count"), []
    (folder / "digits.txt").write_text("0123456789" * 400)
    run = folder / "run"

    def on_epoch_end(self, epoch, logs=None):
        picture = (run / "learning_curve.png").read_bytes()
        found.append((load(str(run)).count_params(), picture))

    arguments = ["train", "--preset", small_preset, "--data", folder, "--output", run]
    arguments += ["--steps", 150, "--interval", 75, "--sequence_length", 16]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopAtSignal, "on_epoch_end", on_epoch_end)
        assert main(list(map(str, arguments))) == 0
    return run, found


@pytest.fixture
def run(learned):
    return learned[0]


@pytest.fixture
def uncompiled(monkeypatch):
    """Short texts of a tiny model come sooner without compilation."""
    for module in ("stepwise_generation", "speculative_decoding"):
        monkeypatch.setattr(
            f"primer_tf.models.{module}.compile_function",
            lambda model, function, *options: function,
        )


@pytest.fixture
def generate(capsys):
    """Runs the command, which must succeed; returns what it prints."""

    def generate(preset, *options):
        assert main(["generate", str(preset), *map(str, options)]) == 0
        return capsys.readouterr().out

    return generate


def objects(printed):
    return [json.loads(line) for line in printed.splitlines()]


def test_greedy_texts_with_a_stop_text(run, generate):
    prompts = ["--prompt", "012", "--prompt", "34567"]
    options = ["--temperature", 0, "--max_new_tokens", 9, "--stop", "2", "--stop", "x"]
    assert objects(generate(run, *prompts, *options, "--json")) == [
        {
            "prompt": "012",
            "text": "012345678901",
            "completion": "345678901",
            "finish_reason": "length",
        },
        {"prompt": "34567", "text": "345678901", "completion": "8901", "finish_reason": "stop"},
    ]


def test_drafts_change_no_greedy_text(run, generate, uncompiled, capsys):
    options = ["--prompt", "34567", "--temperature", 0, "--max_new_tokens", 9]
    text = generate(run, *options)
    assert text.startswith("345678901")
    for draft in ("ngram", run):
        assert generate(run, *options, "--draft", draft) == text
    assert (
        main(["generate", str(run), "--prompt", "3", "--sampler", "beam", "--draft", "ngram"]) == 1
    )
    check(capsys, 1, "BeamSampler chooses among several texts and cannot use a draft")


def test_samples_follow_the_seed(small_preset, generate, uncompiled, monkeypatch):
    monkeypatch.setattr("primer_tf.cli.generate.BATCH_SIZE", 2)
    monkeypatch.setattr(sys, "stdin", io.StringIO("In\n\nGod said\n"))
    options = ["--prompt", "And", "--samples", 2, "--json", "--top_k", 0]
    answers = objects(generate(small_preset, *options, "--prompt_file", "-", "--seed", 1))
    assert [answer["prompt"] for answer in answers] == 2 * ["And"] + 2 * ["In"] + 2 * ["God said"]
    for answer in answers:
        assert answer["text"] == answer["prompt"] + answer["completion"]
    assert answers[0] != answers[1], "samples differ"
    again, other = (objects(generate(small_preset, *options, "--seed", seed)) for seed in (1, 2))
    assert again == answers[:2] and other != again


def test_a_terminal_gets_the_same_text(small_preset, generate, uncompiled, monkeypatch):
    """As it grows."""
    monkeypatch.setattr("primer_tf.models.stepwise_generation.SECONDS", 0.0)
    options = ["--prompt", "And", "--top_k", 0, "--temperature", 2, "--max_new_tokens", 30]
    piped = generate(small_preset, *options)
    assert len(piped) > 15
    written = []

    def on_terminal():
        write = sys.stdout.write
        sys.stdout.write = lambda text: (written.append(text), write(text))[1]
        generate(small_preset, *options)

    assert run_on_terminal(on_terminal).replace("\r\n", "\n") == piped.replace("\r\n", "\n")
    assert "".join(written) == piped and len(written) > 10
    assert written[0].startswith("And"), "the prompt comes first"


@pytest.fixture
def made(small_preset, monkeypatch):
    """Returns the sampler that the command makes of options, as name and settings."""
    model = load(str(small_preset))

    def stop(model, stop):
        raise UserError("enough")

    monkeypatch.setattr("primer_tf.cli.generate.load", lambda preset: model)
    monkeypatch.setattr("primer_tf.models.completer.Completer", stop)

    def made(*options):
        assert main(["generate", "x", "--prompt", "And", *options]) == 1
        return settings_of(model)

    made.model = model
    return made


def settings_of(model):
    return type(model.sampler).__name__, model.sampler.get_config()


@pytest.mark.parametrize(
    "options, name, settings",
    [
        ("--temperature 0", "GreedySampler", {}),
        ("--temperature 0 --top_p 0.9 --top_k 3", "GreedySampler", {}),
        ("--temperature 0.7", "TopKSampler", {"temperature": 0.7, "k": 5, "seed": 0}),
        ("--top_k 9 --seed 4", "TopKSampler", {"temperature": 1.0, "k": 9, "seed": 4}),
        ("--top_k 0", "RandomSampler", {"temperature": 1.0, "seed": 0}),
        ("--top_p 0.8", "TopPSampler", {"temperature": 1.0, "p": 0.8, "k": None, "seed": 0}),
        ("--top_p 0.8 --top_k 9", "TopPSampler", {"p": 0.8, "k": 9}),
        ("--top_p 1 --top_k 0", "TopPSampler", {"p": 1.0, "k": None}),
        ("--sampler random --temperature 2", "RandomSampler", {"temperature": 2.0}),
        ("--sampler contrastive --top_k 3", "ContrastiveSampler", {"k": 3}),
        ("--sampler beam", "BeamSampler", {"num_beams": 5}),
        ("--sampler greedy", "GreedySampler", {}),
    ],
)
def test_the_sampler_of_options(made, capsys, options, name, settings):
    found, config = made(*options.split())
    assert found == name and config.items() >= settings.items()


def test_the_default_is_that_of_the_model(made):
    name, settings = made("--seed", "3")
    made.model.compile()
    by_default, defaults = settings_of(made.model)
    assert name == by_default == "TopKSampler"
    assert settings == {**defaults, "seed": 3}


NO_NUMBER = "0, which is greedy, or from 0.001 to 1000"


@pytest.mark.parametrize(
    "options, words",
    [
        ("--temperature -1", f"temperature must be {NO_NUMBER}; received -1.0."),
        ("--temperature nan", f"temperature must be {NO_NUMBER}; received nan."),
        ("--temperature inf", f"temperature must be {NO_NUMBER}; received inf."),
        ("--temperature 1e-9", f"temperature must be {NO_NUMBER}; received 1e-09."),
        ("--top_k -1", "top_k must be at least 0 and below 2**31; received -1."),
        ("--top_p 0", "top_p must be above 0 and at most 1; received 0.0."),
        ("--top_p 1.01", "top_p must be above 0 and at most 1; received 1.01."),
        ("--top_p nan", "top_p must be above 0 and at most 1; received nan."),
        ("--samples 0", "samples must be at least 1 and below 2**31; received 0."),
        ("--max_new_tokens 0", "max_new_tokens must be at least 1 and below 2**31; received 0."),
        ("--stop=", "--stop is empty"),
        ("--prompt=", "--prompt is empty"),
        ("--sampler greedy --top_k 3", "The sampler greedy has no top_k; leave one of them out."),
        ("--sampler random --top_p 0.5", "The sampler random has no top_p"),
        ("--sampler top_k --temperature 0", "the sampler is greedy; leave --sampler top_k out"),
        ("--sampler top_k --top_k 0", "the sampler is random; leave --sampler top_k out"),
        ("--prompt_file none.txt", "No such file or directory (none.txt)"),
    ],
)
def test_bad_options(capsys, options, words):
    """They are refused before anything is loaded."""
    check(capsys, main(["generate", "x", "--prompt", "And", *options.split()]), words)


@pytest.mark.parametrize(
    "options, words",
    [
        ("--top_k 301", ["top_k 301 is beyond the 300 pieces of the vocabulary."]),
        ("--max_new_tokens 100", ["tokens and max_new_tokens 100 are beyond the model's 64"]),
        ("--max_length 65", ["max_length 65 is beyond the model's 64 tokens"]),
    ],
)
def test_options_beyond_the_model(small_preset, capsys, options, words):
    check(
        capsys, main(["generate", str(small_preset), "--prompt", "And", *options.split()]), *words
    )


def test_lengths_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as end:
        main(["generate", "x", "--prompt", "A", "--max_length", "9", "--max_new_tokens", "9"])
    assert end.value.code == 2 and "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n \n", b"God\xff"])
def test_prompts_of_a_bad_file(tmp_path, capsys, content):
    (tmp_path / "prompts.txt").write_bytes(content)
    words = "There is no prompt" if content.isspace() or not content else "is not UTF-8 text"
    check(capsys, main(["generate", "x", "--prompt_file", str(tmp_path / "prompts.txt")]), words)


def test_many_prompts_compile_once(small_preset):
    """Rows of other lengths in later batches do not change the shapes."""
    completer = Completer(load(str(small_preset)))
    prompts = ["And", "And God said", "In the beginning"]
    length = completer.length_for(prompts, 4)
    texts = [completer([prompt], length, 4)[0] for prompt in prompts]
    assert completer._generator._extend.experimental_get_tracing_count() == 1
    for prompt, text in zip(prompts, texts, strict=True):
        assert text.text.startswith(prompt) and text.finish_reason
    assert len(completer(["And"], max_length=length)[0].text) > len(texts[0].text)


# The folder of a run.


def test_commands_take_the_folder_of_a_run(run, capsys, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "primer_tf.export.export_saved_model", lambda model, *rest, **options: loaded.append(model)
    )
    digits = str(run.parent / "digits.txt")
    for arguments in (
        ["evaluate", str(run), "--data", digits],
        ["export", str(run), "serving"],
    ):
        assert main(arguments) == 0
        assert f"primer: {run} is a run; loading {run}/best\n" in capsys.readouterr().err
    assert loaded


def test_training_takes_the_folder_of_a_run(run, tmp_path, capsys):
    arguments = ["train", "--preset", run, "--data", run.parent, "--output", tmp_path / "out"]
    status = main([*map(str, arguments), "--sequence_length", "65"])
    check(capsys, status, "sequence_length 65", f"{run}/best", "64 tokens")


def test_the_preset_of_a_run(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert preset_of_run(copy) == str(copy / "best")
    shutil.rmtree(copy / "best")
    assert preset_of_run(copy) == str(copy / "preset")
    shutil.rmtree(copy / "preset")
    check(capsys, main(["generate", str(copy), "--prompt", "0"]), "has no preset yet")
    for preset in (str(run / "preset"), "hf://user/model", "tiny_primer_ez", ""):
        assert preset_of_run(preset) == preset


def test_presets_and_the_curve_are_there_while_the_run_goes_on(learned):
    (first, early), (second, late) = learned[1]
    assert first == second == 3144 and early != late
