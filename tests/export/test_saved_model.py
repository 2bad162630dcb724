"""In a process without our code, an exported model gives the same texts as `generate`."""

import json
import subprocess
import sys

import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.export import export_saved_model
from tests.export.conftest import LENGTH, PROMPTS

CLIENT = """
import json, sys
import tensorflow as tf
import tensorflow_text

serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
prompts = json.loads(sys.argv[2])

def complete(batch):
    return [text.decode("utf-8") for text in serve(prompts=tf.constant(batch))["texts"].numpy()]

try:
    error = str(complete([prompts[0], "And God said " * 20]))
except tf.errors.InvalidArgumentError as raised:
    error = raised.message
print(json.dumps({
    "texts": complete(prompts),
    "one_by_one": [text for prompt in prompts for text in complete([prompt])],
    "error": error,
    "ours": sorted(m for m in ("primer_tf", "keras_hub") if m in sys.modules),
}))
"""

# Without TF Text.
ID_CLIENT = """
import json, sys
import tensorflow as tf

generate = tf.saved_model.load(sys.argv[1]).signatures["generate_ids"]
inputs = json.loads(sys.argv[2])
specs = generate.structured_input_signature[1]
outputs = generate(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()})
print(json.dumps({
    "token_ids": outputs["token_ids"].numpy().tolist(),
    "ours": sorted(m for m in ("primer_tf", "keras_hub", "tensorflow_text") if m in sys.modules),
}))
"""
GREEDY = {
    "max_new_tokens": [-1],
    "temperature": [0.0],
    "top_k": [0],
    "top_p": [1.0],
    "repetition_penalty": [1.0],
    "seed": [0],
}


def run(client, folder, argument, tmp_path):
    command = [sys.executable, "-c", client, str(folder), json.dumps(argument)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    return json.loads(done.stdout)


def test_a_process_without_our_code_gives_the_same_texts(model, texts_folder, tmp_path):
    assert texts_folder.name == "1"
    answer = run(CLIENT, texts_folder, PROMPTS, tmp_path)
    expected = model.generate(PROMPTS)
    for text, prompt in zip(expected, PROMPTS, strict=True):
        assert text.startswith(prompt) and len(text) > len(prompt)
    assert answer["texts"] == answer["one_by_one"] == expected
    assert "prompts[1] has" in answer["error"] and "at most 39 have room" in answer["error"]
    assert answer["ours"] == []


def test_ids_need_no_tf_text(model, ids_folder, prompt_ids, tmp_path):
    ids, lengths = prompt_ids
    inputs = {"token_ids": ids.tolist(), "lengths": lengths.tolist(), **GREEDY}
    answer = run(ID_CLIENT, ids_folder, inputs, tmp_path)
    assert answer["ours"] == []
    tokenizer = model.preprocessor.tokenizer
    for prompt, row, length, new in zip(PROMPTS, ids, lengths, answer["token_ids"], strict=True):
        whole = [*row[1:length].tolist(), *(i for i in new if i > 1)]
        assert tokenizer.detokenize(whole) == model.generate(prompt)


def test_version_numbers_and_errors(model, tmp_path):
    (tmp_path / "2").mkdir()
    (tmp_path / "notes").mkdir()
    with pytest.raises(UserError, match="2 exists already"):
        export_saved_model(model, tmp_path, version=2)
    with pytest.raises(UserError, match="Unknown draft 'small'; an export takes ngram only"):
        export_saved_model(model, tmp_path, draft="small")
    with pytest.raises(UserError, match="max_length 513 is not between 2 and the model's 512"):
        export_saved_model(model, tmp_path, max_length=513)
    assert export_saved_model(model, tmp_path, max_length=8, ids=True) == tmp_path / "3"


def test_what_lies_beside_the_model(model, texts_folder, client):
    extra = texts_folder / "assets.extra"
    assert (extra / "vocabulary.model").read_bytes() == model.preprocessor.tokenizer.proto
    config = json.loads((extra / "config.json").read_text())
    assert config == json.loads(json.dumps(model.backbone.get_config()))
    export = json.loads((extra / "export.json").read_text())
    assert export["max_length"] == LENGTH and set(export["signatures"]) == set(
        client.signatures
    ) - {"__saved_model_init_op"}
    card = (texts_folder / "MODEL_CARD.md").read_text()
    assert f"| parameters | {model.count_params():,} |" in card
    assert "`generate` | `prompts` string [B], `max_new_tokens` int32 [B] = -1" in card
    from primer_tf import from_gin

    described = from_gin(str(extra / "model.gin"))
    assert [w.shape for w in described.weights] == [w.shape for w in model.backbone.weights]


@pytest.mark.parametrize("folder", ["texts_folder", "ids_folder"])
def test_warm_up_requests_fit_every_signature(folder, request):
    from primer_tf.serving.saved_model import SavedModel
    from primer_tf.serving.warmup import warm_up

    saved = SavedModel(request.getfixturevalue(folder))
    calls = []

    class Counting:
        folder = saved.folder

        def predict(self, name, inputs, output_filter):
            size = len(inputs[min(inputs, key=lambda key: np.ndim(inputs[key]) == 0)])
            calls.append((name, size))
            return saved.predict(name, inputs, output_filter)

    count = warm_up(Counting(), 1 << 20)
    names = set(
        json.loads((saved.folder / "assets.extra" / "export.json").read_text())["signatures"]
    )
    assert count == len(calls) == 8 * len(names)
    assert {name for name, _ in calls} == names
