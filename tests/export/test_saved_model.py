"""In a process without our code, an exported model gives the same texts as `generate`."""

import json
import subprocess
import sys

import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.export import export_saved_model
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
from tests.models.small_models import make_model

PROMPTS = ["In the", "And God said, Let there be", "And"]
LENGTH = 24

CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf
import tensorflow_text

signatures = tf.saved_model.load(sys.argv[1]).signatures
strings, tokens = signatures["serving_default"], signatures["tokens"]
prompts, ids = json.loads(sys.argv[2])

def complete(batch):
    return [text.decode("utf-8") for text in strings(prompts=tf.constant(batch))["texts"].numpy()]

texts = complete(prompts)
one_by_one = [text for prompt in prompts for text in complete([prompt])]
mask = [[True] * len(row) for row in ids]
outputs = tokens(token_ids=tf.constant(ids, tf.int32), padding_mask=tf.constant(mask))
mask[0][0] = False
errors = []
for call in (
    lambda: complete([prompts[0], "And God said " * 20]),
    lambda: tokens(token_ids=tf.constant(ids, tf.int32), padding_mask=tf.constant(mask)),
):
    try:
        errors.append(str(call()))
    except tf.errors.InvalidArgumentError as raised:
        errors.append(raised.message)
print(json.dumps({
    "texts": texts,
    "one_by_one": one_by_one,
    "token_ids": outputs["token_ids"].numpy().tolist(),
    "padding_mask": outputs["padding_mask"].numpy().tolist(),
    "errors": errors,
    "ours": sorted(m for m in ("primer_tf", "keras_hub") if m in sys.modules),
}))
"""


@pytest.fixture(scope="module")
def model(vocabulary):
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=LENGTH)
    model = make_model("primer_ez", preprocessor)
    model.compile(sampler="greedy", jit_compile=False)
    return model


def test_a_process_without_our_code_gives_the_same_texts(model, tmp_path):
    folder = export_saved_model(model, tmp_path / "primer")
    assert folder == tmp_path / "primer" / "1"
    tokenizer = model.preprocessor.tokenizer
    ids = [[tokenizer.start_token_id, *np.asarray(tokenizer("And God said")).tolist()]]
    command = [sys.executable, "-c", CLIENT, str(folder), json.dumps([PROMPTS, ids])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    answer = json.loads(done.stdout)

    expected = model.generate(PROMPTS)
    for text, prompt in zip(expected, PROMPTS, strict=True):
        assert text.startswith(prompt) and len(text) > len(prompt)
    assert answer["texts"] == answer["one_by_one"] == expected
    assert "no room for new text within 24 tokens" in answer["errors"][0]
    assert "pad on the right" in answer["errors"][1]
    assert answer["ours"] == []
    row, mask = answer["token_ids"][0], answer["padding_mask"][0]
    completed = [i for i, keep in zip(row, mask, strict=True) if keep and i > 1]
    expected = model.generate("And God said")
    assert tokenizer.detokenize(completed) == expected


def test_version_numbers_and_errors(model, tmp_path):
    (tmp_path / "2").mkdir()
    (tmp_path / "notes").mkdir()
    assert export_saved_model(model, tmp_path, max_length=8) == tmp_path / "3"
    with pytest.raises(UserError, match="3 exists already"):
        export_saved_model(model, tmp_path, version=3)
    with pytest.raises(UserError, match="max_length 513 is not between 2 and the model's 512"):
        export_saved_model(model, tmp_path, max_length=513)
