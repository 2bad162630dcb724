"""`make serve-check`: every way to an exported model gives the texts of `generate`.

Exports models of four architectures with noisy weights and completes eight prompts of different
lengths through TensorFlow's C API, in a process without our code, over REST, over gRPC and at
`/v1/completions`, also of an export that XLA compiles. Then it checks that a seed gives the same
text in every batch.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.export import export_saved_model
from primer_tf.models import PrimerCausalLM, PrimerCausalLMPreprocessor, PrimerTokenizer
from primer_tf.serving.config import ModelConfig
from primer_tf.tasks import kjv
from tests.export.conftest import Client
from tests.export.test_c_api import build_program, call, text_ops_library
from tests.export.test_saved_model import CLIENT, run
from tests.sample_text import SENTENCES
from tests.serving.conftest import running

PRESETS = ("tiny_primer", "tiny_primer_ez", "tiny_transformer_plusplus", "tiny_switch_primer")
LENGTH = 48
PROMPTS = [sentence[: 4 + 3 * i] for i, sentence in enumerate(SENTENCES[:8])]


def make_tokenizer():
    """Returns a tokenizer of the demo text, most of whose tokens are words."""
    return PrimerTokenizer(train_vocabulary([text for _, text in kjv.split("train")], size=2000))


def make(preset, tokenizer):
    """Returns a model whose greedy text does not repeat one token."""
    keras.utils.set_random_seed(0)
    preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=LENGTH)
    # Experts without limited capacity, as decoding has them.
    experts = {"eval_capacity_factor": 16.0} if "switch" in preset else {}
    # Of the preset's vocabulary most tokens would be unknown, and all of those have one text.
    size = {"vocabulary_size": tokenizer.vocabulary_size()}
    model = PrimerCausalLM.from_preset(preset, preprocessor=preprocessor, **size, **experts)
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        if "token_embedding" not in weight.path:
            value = keras.ops.convert_to_numpy(weight)
            weight.assign(value + 0.1 * rng.standard_normal(value.shape))
    model.compile(sampler="greedy", jit_compile=False)
    return model


def answers(folder, compiled, program, scratch):
    """Yields the name of each way and the texts that it gives."""
    for name, version in {"C API": folder, "C API with XLA": compiled}.items() if program else ():
        client, inputs = Client(version), {"prompts": PROMPTS}
        done = call(program, client, text_ops_library(), "serving_default", inputs, "texts")
        yield name, done.stdout
    yield "process", run(CLIENT, folder, PROMPTS, scratch)["texts"]
    with running([ModelConfig("primer", folder.parent)]) as server:
        answer = server.http.post("/v1/models/primer:predict", json={"instances": PROMPTS})
        yield "REST", answer.json()["predictions"]
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "primer", "generate"
        request.inputs["prompts"].CopyFrom(tf.make_tensor_proto(PROMPTS))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
        texts = stub.Predict(request, timeout=60).outputs["texts"].string_val
        yield "gRPC", [text.decode("utf-8") for text in texts]
        request = {"model": "primer", "prompt": PROMPTS, "echo": True, "max_tokens": None}
        answer = server.http.post("/v1/completions", json={**request, "temperature": 0})
        yield "completions", [choice["text"] for choice in answer.json()["choices"]]


def seeds_agree(client):
    """Whether a row's text depends on its seed alone."""
    rng, rows = np.random.default_rng(0), np.arange(len(PROMPTS))
    settings = {"temperature": [1.0], "top_k": [40]}

    def texts(rows):
        prompts = [PROMPTS[row] for row in rows]
        return client("generate", prompts=prompts, seed=rows + 100, **settings)["texts"]

    together = texts(rows)
    batches = [rng.permutation(rows) for _ in range(3)] + [rows[:3], *rows[:, None]]
    return all((texts(batch) == together[batch]).all() for batch in batches)


def main():
    """Prints a row for each model; exits with 1 if an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=PRESETS)
    presets = parser.parse_args().presets
    tokenizer = make_tokenizer()
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        program = build_program(scratch / "c_client") if shutil.which("gcc") else None
        if program is None:
            print("There is no gcc: the C API is left out.")
        for preset in presets:
            model = make(preset, tokenizer)
            expected = model.generate(PROMPTS)
            folder = export_saved_model(model, scratch / preset)
            compiled = export_saved_model(model, scratch / f"{preset}_xla", jit_compile=True)
            cells = []
            for name, texts in answers(folder, compiled, program, scratch):
                same = texts == expected or texts == "".join(f"{text}\n" for text in expected)
                failures += not same
                cells.append(f"{name} {'same' if same else 'DIFFERS'}")
            same = seeds_agree(Client(folder))
            failures += not same
            cells.append(f"seeds {'same' if same else 'DIFFER'}")
            print(f"{preset:<28}{', '.join(cells)}", flush=True)
    if failures:
        sys.exit(f"{failures} checks failed")


if __name__ == "__main__":
    main()
