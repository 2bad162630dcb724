"""`make beam-check`: a Beam pipeline with two processes writes the shards that one process writes.

It runs in an environment of its own, without TensorFlow and pytest.
"""

import filecmp
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from primer_tf.data.prepare import prepare
from primer_tf.data.prepare_on_beam import prepare_on_beam
from primer_tf.data.shard import whole_shard
from primer_tf.tasks.text import TextSource
from tests.sample_text import SENTENCES

OPTIONS = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def shards(folder):
    return sorted(path.parent for path in folder.glob("*/*/shard.json"))


def assert_equal_folders(one, other):
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    _, differ, missing = filecmp.cmpfiles(one, other, map(str, names), shallow=False)
    assert not differ and not missing, differ + missing


def main():
    """Runs the check."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        corpus = folder / "corpus.jsonl"
        lines = (json.dumps({"text": f"{n}. {text}"}) for n, text in enumerate(SENTENCES * 900))
        corpus.write_text("\n".join(lines))
        on_beam, written = prepare_on_beam(3, OPTIONS), []

        def write_elsewhere(writer):
            on_beam(writer)
            written.extend(shards(writer.output))

        arguments = {"vocabulary_size": 330, "shard_characters": 20_000}
        prepare(TextSource(str(corpus)), folder / "here", **arguments)
        prepare(
            TextSource(str(corpus)), folder / "beam", write_elsewhere=write_elsewhere, **arguments
        )
        assert len(written) > 10 and all(map(whole_shard, written))
        assert written == shards(folder / "beam"), "the pipeline left shards out"
        assert_equal_folders(folder / "here", folder / "beam")

        command = [sys.executable, "-m", "primer_tf.cli", "prepare", "--data", str(corpus)]
        command += ["--vocabulary_size", "330", "--workers", "2", "--output"]
        subprocess.run([*command, folder / "command", "--beam", " ".join(OPTIONS)], check=True)
        subprocess.run([*command, folder / "without"], check=True)
        assert_equal_folders(folder / "command", folder / "without")
        print(f"{len(written)} shards by Beam are those of one process.")


if __name__ == "__main__":
    main()
