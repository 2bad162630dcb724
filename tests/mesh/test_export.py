"""T5's exports answer as its infer mode does, through the C API and from `primer serve`."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from primer_tf.serving.config import ModelConfig
from tests.export.conftest import Client
from tests.export.test_c_api import build_program, call, text_ops_library
from tests.mesh.tf1 import in_tf1
from tests.serving.conftest import running

pytestmark = pytest.mark.slow

PROMPTS = ["light and", "the earth was void", "said", "upon the waters of", "deep"]


@in_tf1
def train_decode_and_export(folder):
    """Trains a model, continues the prompts, and exports from one device and from four."""
    from tests.mesh.command import corpus, t5

    model, data = f"{folder}/model", corpus(folder)
    t5(model, "train", TRAIN_STEPS=60, **data)
    lengths = dict(PROMPT_LENGTH=16, DECODE_LENGTH=6)
    Path(folder, "prompts.txt").write_text("\n".join(PROMPTS))
    files = dict(INPUT=f"{folder}/prompts.txt", OUTPUT=f"{folder}/infer")
    t5(model, "decode", **files, **lengths, **data)
    export = dict(EXPORT_DIR=f"{folder}/export", MAX_PROMPTS=6, **lengths, **data)
    t5(model, "export", **export)
    t5(model, "export", hardware="cpu_mesh", MESH="batch:2,model:2", **export)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tf1_process):
    folder = tmp_path_factory.mktemp("t5")
    train_decode_and_export(folder=str(folder), tf1_process=tf1_process)
    return folder


@pytest.fixture(scope="module")
def continuations(folder):
    texts = (folder / "infer-60").read_text().splitlines()
    assert len(texts) == len(PROMPTS) and len(set(texts)) > 2
    return texts


@pytest.fixture(scope="module")
def versions(folder):
    """The folders of the exports, that from one device first."""
    return sorted((folder / "export").iterdir())


@pytest.fixture(scope="module")
def server(folder):
    with running([ModelConfig("t5", folder / "export", num_versions=2)]) as server:
        yield server


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_c_api(versions, continuations, tmp_path):
    program = build_program(tmp_path / "c_client")
    for version in versions:
        values = {"inputs": PROMPTS}
        done = call(
            program, Client(version), text_ops_library(), "serving_default", values, "outputs"
        )
        assert done.stdout.splitlines() == continuations


def test_rest(server, versions, continuations):
    for version in versions:
        path = f"/v1/models/t5/versions/{version.name}:predict"
        answer = server.http.post(path, json={"instances": PROMPTS})
        assert answer.json()["predictions"] == [
            {"inputs": prompt, "outputs": text}
            for prompt, text in zip(PROMPTS, continuations, strict=True)
        ]


def test_grpc(server, versions, continuations):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    for version in versions:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.version.value = "t5", int(version.name)
        request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(PROMPTS))
        texts = stub.Predict(request, timeout=60).outputs["outputs"].string_val
        assert [text.decode("utf-8") for text in texts] == continuations


def test_an_export_names_the_largest_number_of_prompts(server):
    for prompts in (PROMPTS * 2, []):
        answer = server.http.post("/v1/models/t5:predict", json={"inputs": prompts})
        assert answer.status_code == 400
        assert answer.json() == {"error": "this model takes 1 to 6 texts in a request"}
