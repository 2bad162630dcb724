"""Whatever arguments and files the command is given, it ends in one line, never in a traceback.

Arguments and files that work are mutated. A mutation is a function of its number, so that it can be
repeated. None may be costly: most commands are given something that they refuse late, and no word
below is a large number that is in range.
"""

import json
import random
import shutil

import pytest

from primer_tf import gin_directory
from primer_tf.cli import main
from primer_tf.convert.keras_to_mesh import keras_to_mesh
from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.models import PrimerBackbone
from primer_tf.models.training_state import save_training_state
from primer_tf.optimizers import T5Adafactor
from tests.sample_text import SENTENCES

WORDS = [
    *("", " ", "-", "--", "-1", "0", "1e9", "1e999", "nan", "-inf", "None", "True", "0x10"),
    *("99999999999999999999", "4294967296", "2147483648", "9" * 5000, "3.5", "\u0663", "1_0"),
    *("\udcff", "a\udc80b", "\ud800", "caf\u00e9", "\u2581", "\U0001f600", "a\nb", "a\0b", "\x1b"),
    *("{}", "[v1]", "*", "**", "?", "\\", "a,b", ",", "%s", "%(default)s", "$HOME", "~", "."),
    *("..", "/dev/null", "/proc/primer", "a" * 300, "/".join("a" * 3000), "gs://x/y", "x:y"),
    *("seqio:", "demo:", "float64", "beam", "tiny_primer_ez", "models/tiny_primer.gin"),
]
PIECES = [
    *(b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc3", b"\r\n", b"\n", b"\xe2\x80\xa8", b'"', b"\\"),
    *(b"\\ud800", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b"[" * 100_000, b"null", b"NaN"),
    *(b"-1", b"1e999", b"9" * 5000, b"0", b"0.5", b"true", b'"x"', b"@", b"%", b"@x()", b"x/y.z"),
    *(b"include 'x.gin'\n", b"import os\n", b"(1, 2)", b"None", b" = ", b"\t", b"\xe2\x96\x81"),
]
GIN_VALUES = [
    *("None", "-1", "0", "1", "0.5", "'x'", "''", "[]", "()", "{}", "True", "@x", "@x()", "%X"),
    *("1e9", "99999999999999999999", "nan", "{'targets': 8}", "{'targets': None}", "('x', 1, 2)"),
    *("('tokens_per_batch',)", "('tokens_per_batch', 'x')", "[1, 2]", "'\\ud800'", "b'x'", "[{}]"),
]

TRAIN = ["train", "--output", "out", "--steps", "1", "--batch_size", "2", "--seed", "1"]
GIN = ["--gin_file", "model.gin", "--gin_param", "num_layers = 2", "--gin_param", "TRAIN_STEPS = 5"]
SAMPLING = ["--sampler", "greedy", "--max_length", "9"]
# What is refused late, after much was read and before anything is trained or generated.
NO_TEXT = ["--data", "empty.txt"]
OTHER_VOCABULARY = ["--vocabulary", "other.model", "--sequence_length", "1000"]
TOO_LONG = ["--max_length", "65"]
# Commands: how often each is drawn; arguments, some of which are mutated; arguments after them.
COMMANDS = [
    (60, ["vocab", "--data", "text.txt", "--size", "290", "--output", "out.model"], []),
    (
        200,
        [*TRAIN, "--preset", "preset", "--data", "text.txt", "--dropout", "0.1", "--dtype"]
        + ["float32", "--validation_data", "text.jsonl", "--interval", "5", "--z_loss", "0.1"],
        OTHER_VOCABULARY,
    ),
    (200, [*TRAIN, *GIN, "--sequence_length", "8"], NO_TEXT),
    (40, ["train", "--resume", "--output", "run", "--seed", "1"], NO_TEXT),
    (80, ["generate", "preset", "--prompt", "And", "--prompt", "God", *SAMPLING], ["--seed", "-1"]),
    (20, ["generate", "preset", "--prompt", "And", "--prompt", "God", "--seed", "3"], TOO_LONG),
    (
        80,
        ["generate", "preset", "--prompt_file", "text.txt", "--temperature", "0.5", "--top_k", "9"]
        + ["--top_p", "0.9", "--samples", "2", "--stop", "x", "--max_new_tokens", "9", "--json"],
        ["--seed", "-1"],
    ),
    (
        40,
        ["evaluate", "preset", "--data", "text.txt", "--split", "all", "--batch_size", "2"],
        NO_TEXT,
    ),
    (1, ["evaluate", "preset", "--data", "text.txt", "--split", "all", "--batch_size", "2"], []),
    (1, [*TRAIN, "--preset", "preset", "--data", "text.txt", "--sequence_length", "8"], []),
    (1, ["generate", "preset", "--prompt", "And", "--prompt", "God", *SAMPLING], []),
    (40, ["export", "preset", "serving", *SAMPLING], TOO_LONG),
    (
        40,
        ["convert", "mesh-to-keras", "mesh", "out", "--gin_file", "mesh/model.gin", "--step", "0"]
        + ["--vocabulary", "vocabulary.model"],
        [],
    ),
    (20, ["convert", "keras-to-mesh", "preset", "out"], []),
    (40, ["demo", "--output", "out", "--steps", "1"], ["--output", "/proc/primer"]),
]
VOCAB = ["vocab", "--size", "290", "--output", "out.model", "--data"]
GENERATE = ["generate", "preset", "--prompt", "And", *TOO_LONG]
TO_KERAS = ["convert", "mesh-to-keras", "mesh", "out"]
TO_MESH = ["convert", "keras-to-mesh", "preset", "out"]
# Files: how often each is drawn, which is mutated, and the command that reads it.
FILES = [
    (150, "text.txt", [*VOCAB, "text.txt"]),
    (200, "text.jsonl", [*VOCAB, "text.jsonl"]),
    (200, "text.json", [*VOCAB, "text.json"]),
    (
        100,
        "vocabulary.model",
        [*TRAIN, "--preset", "preset", "--data", "text.txt", "--vocabulary", "vocabulary.model"]
        + ["--sequence_length", "1000"],
    ),
    (200, "model.gin", [*TRAIN, *GIN, *NO_TEXT]),
    (100, "run/run.json", ["train", "--resume", "--output", "run", *NO_TEXT]),
    (10, "preset/config.json", GENERATE),
    (10, "preset/task.json", GENERATE),
    (10, "preset/preprocessor.json", GENERATE),
    (10, "preset/tokenizer.json", GENERATE),
    (10, "preset/metadata.json", GENERATE),
    (10, "preset/model.weights.h5", GENERATE),
    (10, "preset/assets/tokenizer/vocabulary.spm", GENERATE),
    (10, "preset/training_state.npz", TO_MESH),
    (20, "mesh/checkpoint", TO_KERAS),
    (20, "mesh/model.gin", TO_KERAS),
    (20, "mesh/vocabulary.model", TO_KERAS),
    (20, "mesh/model.ckpt-0.index", TO_KERAS),
    (20, "mesh/model.ckpt-0.data-00000-of-00001", TO_KERAS),
]


def mutated_arguments(chance, arguments):
    """Returns arguments with one to three of their values changed, or put out of place."""
    arguments = list(arguments)
    for _ in range(chance.randint(1, 3)):
        values = [n for n, word in enumerate(arguments) if n and not word.startswith("--")]
        place, word = chance.choice(values), chance.choice(WORDS)
        match chance.randrange(10):
            case 0:
                arguments.insert(place, word)  # where an option or a value is expected
            case 1:
                arguments[place - 1] = word
            case 2 | 3:
                arguments[place] += word
            case _:
                arguments[place] = word
    return arguments


def mutated_content(chance, content):
    """Returns bytes with one to three of their parts changed, dropped or cut off."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice((0, 1, 1, 5, 20, 1000)))
        match chance.randrange(5):
            case 0:
                content = content[:start]
            case 1:
                content = content[:start] + content[end:]
            case 2:
                content = content[:start] + bytes([chance.randrange(256)]) + content[start + 1 :]
            case _:
                content = content[:start] + chance.choice(PIECES) + content[end:]
    return content


def gin_names():
    """Returns what the bindings of our gin files bind."""
    texts = [path.read_text() for path in sorted(gin_directory().rglob("*.gin"))]
    lines = [line for text in texts for line in text.splitlines()]
    return sorted({line.split(" = ")[0] for line in lines if line[:1].isalpha() and " = " in line})


def mutated_bindings(chance, names):
    """Returns a command that trains with one to three gin bindings of any names to any values."""
    arguments = [*TRAIN, "--data", "empty.txt", "--gin_file", "model.gin"]
    for _ in range(chance.randint(1, 3)):
        arguments += ["--gin_param", f"{chance.choice(names)} = {chance.choice(GIN_VALUES)}"]
    return arguments


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_preset, vocabulary, text_file):
    """A folder with one of each file that a user gives; the one above it holds nothing else."""
    folder = tmp_path_factory.mktemp("fuzz") / "files"
    folder.mkdir()
    (folder / "text.txt").write_text("\n".join(SENTENCES * 2), encoding="utf-8")
    lines = [json.dumps({"text": f"{sentence} caf\u00e9."}) for sentence in SENTENCES]
    (folder / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "text.json").write_text(f"[{', '.join(lines)}]", encoding="utf-8")
    (folder / "empty.txt").touch()
    (folder / "vocabulary.model").write_bytes(vocabulary)
    (folder / "other.model").write_bytes(train_vocabulary([text_file.read_text()], 290))
    (folder / "model.gin").write_text(
        "include 'models/tiny_primer.gin'\ninclude 'run/train.gin'\ninclude 'hardware/cpu.gin'\n"
        "VOCABULARY = 'vocabulary.model'\nTRAIN_STEPS = 2\nnum_layers = 1\n"
        "MIXTURE_NAME = 'demo_autoregressive_language_modeling'\nTOKENS_PER_BATCH = 1024\n",
        encoding="utf-8",
    )
    shutil.copytree(small_preset, folder / "preset")
    weights, optimizer = PrimerBackbone.from_preset(small_preset).weights, T5Adafactor()
    optimizer.build(weights)
    save_training_state(folder / "preset", weights, optimizer)
    keras_to_mesh(folder / "preset", folder / "mesh")
    record = {"preset": "preset", "data": "text.txt", "vocabulary": None, "steps": 1}
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text(json.dumps({**record, "tokens_sha256": ""}))
    (folder / "run" / "vocabulary.model").write_bytes(vocabulary)
    return folder


def mutate(number, folder, names):
    """Returns the arguments of a mutation, and the file that it has changed or `None`."""
    chance = random.Random(number)
    match chance.randrange(10):
        case 0:
            return mutated_bindings(chance, names), None
        case 1 | 2 | 3 | 4:
            weights = [often for often, *_ in COMMANDS]
            ((_, arguments, last),) = chance.choices(COMMANDS, weights)
            return mutated_arguments(chance, arguments) + last, None
    ((_, name, arguments),) = chance.choices(FILES, [often for often, *_ in FILES])
    path = folder / name
    path.write_bytes(mutated_content(chance, path.read_bytes()))
    return arguments, path


def restore(root, contents):
    """Makes a folder hold the given files again and nothing else."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(file.is_relative_to(path) for file in contents):
                path.rmdir()
        elif path not in contents:
            path.unlink()
    for path, content in contents.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def complaint(capsys, arguments):
    """Runs the command; returns what is wrong with how it ends, or `None`."""
    try:
        status = main(arguments)
    except SystemExit as end:  # of argparse: help, or an error of usage
        status = end.code
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    printed = capsys.readouterr().err
    lines = printed.splitlines()
    errors = [line for line in lines if line.startswith("primer") and " error: " in line]
    right = {
        0: not errors,
        1: len(errors) == 1 and errors[0].startswith("primer: error: "),
        2: lines[:1] != [] and lines[0].startswith("usage: ") and len(errors) == 1,
    }
    if right.get(status) and "Traceback" not in printed:
        return None
    return f"status {status}: {printed}"


@pytest.mark.parametrize(
    "numbers", [range(150), pytest.param(range(150, 12_000), marks=pytest.mark.slow)]
)
def test_mutations(folder, capsys, monkeypatch, numbers):
    monkeypatch.chdir(folder)
    root, names = folder.parent, gin_names()
    contents = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    complaints = []
    for number in numbers:
        arguments, path = mutate(number, folder, names)
        wrong = complaint(capsys, arguments)
        if wrong:
            complaints.append(f"{number}: {arguments}, {path}: {wrong}")
        restore(root, contents)
    assert not complaints, "\n".join(complaints)
