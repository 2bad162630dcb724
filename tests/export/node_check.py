"""`make serve-node`: exported models answer in Node as `generate` does.

TensorFlow.js for Node loads a SavedModel on token ids without TF Text, and one on texts with the
library of TF Text's SentencePiece operations. Both complete eight prompts of different lengths. A
machine that cannot build TensorFlow.js is told why, and passes.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from primer_tf.export import export_saved_model
from tests.export.serve_check import PROMPTS, make, make_tokenizer
from tests.export.test_c_api import TF_FOLDER, text_ops_library
from tests.export.test_saved_model import GREEDY
from tests.export.tfjs_package import Unavailable, build

CHECKOUT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("tfjs_node.cjs")


def run(modules, folder, signature, inputs, libraries=()):
    """Runs a signature in Node and returns its outputs.

    Args:
        modules: Node's folder of modules.
        folder: The SavedModel.
        signature: The name of the signature.
        inputs: The inputs by name, as lists.
        libraries: Paths of libraries to load first. Defaults to none.
    """
    environment = {
        **os.environ,
        "NODE_PATH": str(modules),
        "LD_PRELOAD": ":".join(map(str, libraries)),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    done = subprocess.run(
        ["node", SCRIPT, folder, signature],
        input=json.dumps(inputs),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def complete_ids(modules, folder, tokenizer):
    """Completes the prompts as token ids, and returns the texts."""
    rows = [[tokenizer.start_token_id, *np.asarray(tokenizer(p)).tolist()] for p in PROMPTS]
    longest = max(map(len, rows))
    inputs = {
        "token_ids": [row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows],
        "lengths": [len(row) for row in rows],
        **GREEDY,
    }
    outputs = run(modules, folder, "generate_ids", inputs)
    special = (tokenizer.pad_token_id, tokenizer.end_token_id)
    return [
        tokenizer.detokenize([*row[1:], *(token for token in new if token not in special)])
        for row, new in zip(rows, outputs["token_ids"], strict=True)
    ]


def complete_texts(modules, folder):
    """Completes the prompts with the tokenizer that is inside the SavedModel."""
    # The operations find the functions of TensorFlow only in a library that is loaded already.
    libraries = [TF_FOLDER / "libtensorflow_framework.so.2", text_ops_library()]
    inputs = {"prompts": PROMPTS}
    return run(modules, folder, "serving_default", inputs, libraries)["texts"]


def main():
    """Prints a row for each SavedModel; exits with 1 if a text differs."""
    try:
        modules = build(CHECKOUT / "build" / "tfjs_node")
    except Unavailable as reason:
        print(f"serve-node is left out: {reason}.")
        return
    tokenizer = make_tokenizer()
    model = make("tiny_primer_ez", tokenizer)
    expected = model.generate(PROMPTS)
    with tempfile.TemporaryDirectory() as scratch:
        ids = export_saved_model(model, Path(scratch, "ids"), ids=True)
        texts = export_saved_model(model, Path(scratch, "texts"))
        answers = {
            "token ids, without TF Text": complete_ids(modules, ids, tokenizer),
            "texts, with TF Text's library": complete_texts(modules, texts),
        }
    failures = 0
    for name, found in answers.items():
        failures += found != expected
        print(f"{name:<32}{'same' if found == expected else 'DIFFERS'}")
    if failures:
        sys.exit(f"{failures} checks failed")


if __name__ == "__main__":
    main()
