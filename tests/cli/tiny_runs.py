"""Commands on tiny models, and the line that a failed one ends in."""

from primer_tf.cli import main


def train(output, data, *extra, preset="tiny_primer_ez"):
    return main(
        ["train", "--preset", str(preset), "--data", str(data), "--output", str(output)]
        + ["--steps", "2", "--interval", "1", "--batch_size", "2", "--sequence_length", "8"]
        + ["--vocabulary_size", "300", *map(str, extra)]
    )


def check(capsys, status, *words):
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("primer: error: ")]
    assert status == 1
    assert len(errors) == 1, lines
    for word in words:
        assert word in errors[0]


def files(folder):
    """The content of everything in a folder, by path; locks aside."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def resume(output, *extra):
    return main(["train", "--resume", "--output", str(output), *map(str, extra)])
