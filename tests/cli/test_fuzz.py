"""Whatever arguments and files the command is given, nobody sees a traceback."""

import json
import random
import shutil

import pytest

from primer_tf.cli import main
from primer_tf.training.vocabulary import train_vocabulary

MUTATIONS = 2000

WORDS = [
    *("", " ", "-", "--", "-1", "0", "1e9", "1e999", "nan", "-inf", "None", "True", "0x10"),
    *("99999999999999999999", "4294967296", "2147483648", "9" * 5000, "3.5", "\u0663", "1_0"),
    *("\udcff", "a\udc80b", "\ud800", "caf\u00e9", "\u2581", "\U0001f600", "a\nb", "a\0b", "\x1b"),
    *("{}", "[v1]", "*", "**", "?", "\\", "a,b", ",", "%s", "%(default)s", "$HOME", "~", "."),
    *("..", "/", "/dev/null", "/proc/primer", "a" * 300, "/".join("a" * 3000), "gs://x/y", "x:y"),
    *("seqio:", "demo:", "float64", "beam", "tiny_primer_ez", "models/tiny_primer.gin"),
]
PIECES = [
    *(b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc3", b"\r\n", b"\n", b"\xe2\x80\xa8", b'"', b"\\"),
    *(b"\\ud800", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b"[" * 100_000, b"null", b"NaN"),
    *(b"-1", b"1e999", b"9" * 5000, b"0", b"0.5", b"true", b'"x"', b"@", b"%", b"@x()", b"x/y.z"),
    *(b"include 'x.gin'\n", b"import os\n", b"(1, 2)", b"None", b" = ", b"\t", b"\xe2\x96\x81"),
]


def mutated_arguments(chance, arguments):
    """Returns a list of arguments with one to three of them changed, dropped, doubled or swapped."""
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
    """Returns bytes with one to three of their parts changed, dropped, doubled or cut off."""
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


@pytest.fixture(scope="module")
def world(tmp_path_factory, small_preset, vocabulary, text_file):
    """A folder with one of each file that a user gives, and the name of each."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "text.txt").write_text("And God said, Let there be light.\n" * 3, encoding="utf-8")
    lines = [json.dumps({"text": f"And God said {word}."}) for word in ("one", "caf\u00e9")]
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
    config = {"preset": "preset", "data": "text.txt", "vocabulary": None, "steps": 1}
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text(json.dumps({**config, "tokens_sha256": ""}))
    (folder / "run" / "vocabulary.model").write_bytes(vocabulary)
    (folder / "m").mkdir()
    (folder / "m" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-5"\n')
    (folder / "m" / "operative_config.gin").write_text("include 'models/tiny_primer.gin'\n")
    return folder


TRAIN = ["train", "--output", "out", "--steps", "1", "--batch_size", "2", "--seed", "1"]
SAMPLING = ["--sampler", "greedy", "--max_length", "9"]
# How often each is drawn; its arguments, of which some are changed; those that keep it short.
COMMANDS = [
    (6, ["vocab", "--data", "text.txt", "--size", "270", "--output", "out.model"], []),
    (
        20,
        [*TRAIN, "--preset", "preset", "--data", "text.txt", "--dropout", "0.1", "--dtype"]
        + ["float32", "--validation_data", "text.jsonl", "--interval", "5", "--z_loss", "0.1"],
        ["--vocabulary", "other.model"],
    ),
    (
        20,
        [*TRAIN, "--gin_file", "model.gin", "--gin_param", "num_layers = 2", "--gin_param"]
        + ["TRAIN_STEPS = 5", "--sequence_length", "8"],
        ["--data", "empty.txt"],
    ),
    (4, ["train", "--resume", "--output", "run", "--seed", "1"], ["--data", "empty.txt"]),
    (8, ["generate", "preset", "--prompt", "And", "--prompt", "God", *SAMPLING], ["--seed", "-1"]),
    (1, ["generate", "preset", "--prompt", "And", "--prompt", "God", *SAMPLING[:2]]
     + ["--seed", "3"], ["--max_length", "65"]),
    (4, ["evaluate", "preset", "--data", "text.txt", "--split", "all", "--batch_size", "2"],
     ["--batch_size", "0"]),
    (4, ["evaluate", "none", "--data", "text.txt", "--split", "all"], []),
    (4, ["export", "none", "serving", *SAMPLING], []),
    (4, ["convert", "mesh-to-keras", "m", "out", "--gin_file", "model.gin", "--vocabulary"]
     + ["vocabulary.model", "--step", "5"], ["--gin_param", "num_layers = -"]),
    (2, ["convert", "keras-to-mesh", "none", "out"], []),
    (4, ["demo", "--output", "out", "--steps", "1"], ["--output", "/proc/primer"]),
]  # fmt: skip
# The same of files: which one is changed, and the command that reads it.
FILES = [
    (20, "text.txt", ["vocab", "--data", "text.txt", "--size", "290", "--output", "out.model"]),
    (20, "text.jsonl", ["vocab", "--data", "text.jsonl", "--size", "290", "--output", "out.model"]),
    (20, "text.json", ["vocab", "--data", "text.json", "--size", "290", "--output", "out.model"]),
    (10, "vocabulary.model", [*TRAIN, "--preset", "preset", "--data", "empty.txt"]),
    (20, "model.gin", [*TRAIN, "--gin_file", "model.gin", "--data", "empty.txt"]),
    (10, "run/run.json", ["train", "--resume", "--output", "run"]),
    (2, "preset/config.json", ["generate", "preset", "--prompt", "And", "--max_length", "65"]),
    (2, "preset/tokenizer.json", ["generate", "preset", "--prompt", "And", "--max_length", "65"]),
]


def one_line(capsys, arguments):
    """Runs the command; returns what is wrong with how it ends, or nothing."""
    try:
        status = main(arguments)
    except SystemExit as end:  # argparse: help, or a usage error
        status = end.code
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("primer: ")]
    print(status, ascii(errors), file=open("/tmp/cli/msgs", "a"))
    assert status in (0, 1, 2), status
    assert len(errors) == 1 or (len(errors) == 0 and status != 1), printed.err
    assert "internal error" not in printed.err, printed.err


import collections, os, time, traceback, sys  # EXPLORE


def test_explore(world, capsys, monkeypatch):
    monkeypatch.chdir(world)
    pristine = {p: p.read_bytes() for p in world.rglob("*") if p.is_file()}
    found = collections.Counter(); example = {}; times = collections.Counter()
    only = os.environ.get("ONLY")
    n = int(os.environ.get("N", MUTATIONS))
    for number in range(n):
        chance = random.Random(number)
        path = None
        if chance.random() < 0.5:
            (_, arguments, guard), = chance.choices(COMMANDS, [w for w, *_ in COMMANDS])
            arguments = mutated_arguments(chance, arguments) + guard
        else:
            (_, name, arguments), = chance.choices(FILES, [w for w, *_ in FILES])
            path = world / name
            path.write_bytes(mutated_content(chance, pristine[path]))
        if only and number != int(only):
            if path: path.write_bytes(pristine[path])
            continue
        start = time.time()
        print("#", number, ascii(arguments)[:300], path, file=open("/tmp/cli/log", "a"), flush=True)
        try:
            one_line(capsys, arguments)
        except (Exception, AssertionError) as e:
            tb = traceback.extract_tb(e.__traceback__)
            own = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in tb if "wt-cli" in f.filename and "tests" not in f.filename]
            key = (type(e).__name__, own[-1] if own else "", str(e)[:200])
            found[key] += 1; example[key] = (number, ascii(arguments)[:200], path)
        times[arguments[0] if arguments else "", path and path.name] += time.time() - start
        if time.time() - start > 1:
            print("SLOW", number, time.time() - start, ascii(arguments)[:300], path, file=open("/tmp/cli/log", "a"), flush=True)
        if path: path.write_bytes(pristine[path])
        for p, c in pristine.items():
            if not p.exists() or p.stat().st_size != len(c): p.write_bytes(c)
        shutil.rmtree("out", ignore_errors=True)
    with open("/tmp/cli/found", "w") as out:
        for key, count in found.most_common():
            print(count, ascii(key), example[key], file=out)
        for k, t in times.most_common(): print(round(t, 1), k, file=out)
