"""The text of the presets that ship with trained weights: King James and State of the Union.

`python -m benchmarks.english_text runs/english` writes `train.jsonl` and `validation.jsonl`, a
document a line. The addresses of the validation split are those of `results/sotu`.
"""

import argparse
import json
from pathlib import Path

from primer_tf.files import atomic_write
from primer_tf.studies.study_file import read_study
from primer_tf.studies.text_source import resolve_source
from primer_tf.tasks.text import TextSource

ADDRESSES = Path(__file__).parents[1] / "results" / "sotu"


def main():
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder of the files")
    output = parser.parse_args().output
    training = read_study(ADDRESSES).training
    addresses = TextSource(*(resolve_source(training[k]) for k in ("data", "validation_data")))
    for split in ("train", "validation"):
        documents = [*TextSource("demo").documents(split), *addresses.documents(split)]
        lines = (json.dumps({"text": document}, ensure_ascii=False) for document in documents)
        atomic_write(output / f"{split}.jsonl", "".join(f"{line}\n" for line in lines))
        print(f"{output / split}.jsonl: {len(documents):,} documents")


if __name__ == "__main__":
    main()
