"""`/v1/completions`: OpenAI's API over an export, with clients in one batch."""

import json
import threading

import numpy as np
import pytest

from primer_tf.export import export_saved_model
from primer_tf.serving.choice import Choice
from primer_tf.serving.config import ModelConfig
from primer_tf.serving.continuous_batching import Tokens
from tests.export.conftest import LENGTH, PROMPTS, log_probabilities
from tests.serving.conftest import running
from tests.serving.toy_models import save_toy

pytestmark = pytest.mark.slow  # `make serve-check`, which CI runs, asks for completions, too.

PARALLEL = 6


@pytest.fixture(scope="module")
def server(model, texts_folder, tmp_path_factory):
    drafts = tmp_path_factory.mktemp("drafts")
    export_saved_model(model, drafts, draft="ngram", ids=True)
    models = [ModelConfig("primer", texts_folder.parent), ModelConfig("drafts", drafts)]
    with running(models, max_batch_size=3) as server:
        yield server


def post(server, **request):
    request = {"model": "primer", "max_tokens": 8, "temperature": 0, **request}
    return server.http.post("/v1/completions", json=request)


def complete(server, **request):
    answer = post(server, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def texts(server, **request):
    return [choice["text"] for choice in complete(server, **request)["choices"]]


def events(server, **request):
    lines = post(server, stream=True, **request).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def expected(client, prompts=PROMPTS, **settings):
    settings = {"max_new_tokens": [8], **settings}
    outputs = client("generate", prompts=prompts, **settings)
    return [text.decode("utf-8") for text in outputs["completions"]]


def test_greedy_is_the_generate_of_keras(server, model):
    found = texts(server, prompt=PROMPTS, max_tokens=None)
    pairs = zip(model.generate(PROMPTS), PROMPTS, strict=True)
    assert found == [text[len(prompt) :] for text, prompt in pairs]
    assert texts(server, prompt=PROMPTS, max_tokens=None, echo=True) == model.generate(PROMPTS)


def test_answer(server, client):
    answer = complete(server, prompt=PROMPTS[1], user="someone")
    (choice,) = answer["choices"]
    assert choice["text"] == expected(client)[1]
    assert (choice["index"], choice["logprobs"]) == (0, None)
    usage = answer["usage"]
    assert usage["completion_tokens"] == (8 if choice["finish_reason"] == "length" else 7)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert (answer["object"], answer["model"]) == ("text_completion", "primer")
    assert answer["id"].startswith("cmpl-")


def test_token_ids_as_prompts(server, prompt_ids):
    rows = [row[:length].tolist() for row, length in zip(*prompt_ids, strict=True)]
    assert texts(server, prompt=rows) == texts(server, prompt=PROMPTS)
    assert texts(server, prompt=rows[1][1:]) == texts(server, prompt=PROMPTS[1])


def test_sampling_is_that_of_the_signature(server, client):
    settings = {"top_k": 20, "top_p": 0.9, "repetition_penalty": 1.3, "temperature": 1.5}
    found = texts(server, prompt=PROMPTS, n=2, seed=5, **settings)
    rows = {key: [value] for key, value in settings.items()}
    of_seeds = [expected(client, seed=[seed], **rows) for seed in (5, 6)]
    assert found == [text for pair in zip(*of_seeds, strict=True) for text in pair]
    assert len(set(found)) == 6
    assert texts(server, prompt=PROMPTS[0], temperature=1.5) != texts(
        server, prompt=PROMPTS[0], temperature=1.5, max_tokens=9
    )


@pytest.mark.parametrize("name", ["primer", "drafts"])
def test_clients_share_batches_without_notice(server, client, name):
    """More clients than rows, with texts of different lengths, come and go."""
    wanted = {}
    for i in range(PARALLEL):
        settings = {"seed": i, "temperature": 1.0 + i / 4, "top_k": 10 * i}
        rows = {key: [value] for key, value in settings.items()}
        new = [5, 17, 9, 11, 2, 13][i]
        prompt = PROMPTS[i % 3]
        wanted[i] = (
            {**settings, "prompt": prompt, "max_tokens": new},
            expected(client, [prompt], max_new_tokens=[new], **rows),
        )
    found = {}

    def run(i):
        found[i] = texts(server, model=name, **wanted[i][0])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(PARALLEL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: texts for i, (_, texts) in wanted.items()}


def test_streams_are_the_whole_in_parts(server):
    request = {"prompt": PROMPTS[:2], "max_tokens": 16, "logprobs": 2, "echo": True}
    whole = complete(server, **request)
    parts = events(server, stream_options={"include_usage": True}, **request)
    assert parts.pop()["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [part["choices"][0] for part in parts]
        own = [part for part in own if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert len(own) > 2
        assert [part["finish_reason"] for part in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        for key, values in choice["logprobs"].items():
            streamed = sum((part["logprobs"][key] for part in own), [])
            assert streamed == [pytest.approx(value, abs=1e-5) for value in values]


def test_stop_strings(server, client):
    (whole,) = expected(client, PROMPTS[1:2], max_new_tokens=[12])
    stop = whole[4:7]
    request = {"prompt": PROMPTS[1], "max_tokens": 12, "stop": ["never", stop]}
    (choice,) = complete(server, **request)["choices"]
    assert choice["text"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"
    streamed = events(server, **request)
    assert "".join(each["choices"][0]["text"] for each in streamed) == choice["text"]


@pytest.mark.parametrize("max_tokens", [0, 3])
def test_log_probabilities_are_those_of_a_full_pass(server, model, prompt_ids, max_tokens):
    request = {"prompt": PROMPTS[1], "max_tokens": max_tokens, "logprobs": 3, "echo": True}
    (choice,) = complete(server, **request)["choices"]
    logprobs, text = choice["logprobs"], choice["text"]
    assert text.startswith(PROMPTS[1]) and (len(text) > len(PROMPTS[1])) == bool(max_tokens)
    pieces = [token.replace(" ", "\u2581") for token in logprobs["tokens"]]
    ids = [0, *map(model.preprocessor.tokenizer.token_to_id, pieces)]
    rows, lengths = prompt_ids
    assert ids[: lengths[1]] == rows[1, : lengths[1]].tolist()
    assert len(ids) == lengths[1] + max_tokens
    full = log_probabilities(model, ids)
    chosen = full[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(logprobs["token_logprobs"], chosen, atol=1e-3)
    for values, top, token in zip(full, logprobs["top_logprobs"], logprobs["tokens"], strict=False):
        best = [value for key, value in top.items() if key != token or len(top) == 3]
        np.testing.assert_allclose(sorted(best), np.sort(values)[-len(best) :], atol=1e-3)
    starts = [len(model.preprocessor.tokenizer.detokenize(ids[:i])) for i in range(1, len(ids))]
    assert logprobs["text_offset"] == starts


BAD = [
    ({"prompt": ""}, "prompt[0] is empty"),
    ({"prompt": []}, "prompt is empty"),
    ({"prompt": ["a", "b\0c"]}, "prompt[1] contains a NUL"),
    ({"prompt": "\ud800"}, "prompt[0] is not Unicode"),
    ({"prompt": [5, 99999]}, "prompt[0] must have ids from 0 to"),
    ({"prompt": "word " * 100}, "have room"),
    ({"max_tokens": 1000}, "have room"),
    ({"max_tokens": -1}, "max_tokens: "),
    ({"temperature": -0.1}, "temperature: "),
    ({"temperature": float("nan")}, "temperature: "),
    ({"top_p": 0}, "top_p: "),
    ({"top_p": 1.1}, "top_p: "),
    ({"top_k": -1}, "top_k: "),
    ({"top_k": 100_000}, "top_k"),
    ({"n": 0}, "n: "),
    ({"stop": ""}, "stop has an empty string"),
    ({"logprobs": 21}, "logprobs: "),
    ({"best_of": 2}, "best_of: "),
    ({"presence_penalty": 0.5}, "presence_penalty: "),
    ({"colour": "red"}, "colour: "),
    ({"model": "a/b/c"}, "give a name from /v1/models"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_requests(server, change, message):
    request = {"model": "primer", "prompt": "In the", **change}
    answer = server.http.post("/v1/completions", content=json.dumps(request))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert message in error["message"] and error["type"] == "invalid_request_error"
    assert "\n" not in error["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": "\xff"}', b"{}"])
def test_bodies_that_are_no_request(server, body):
    answer = server.http.post("/v1/completions", content=body)
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_unknown_models_and_versions(server):
    for name in ("other", "primer/versions/7"):
        answer = post(server, prompt="In the", model=name)
        assert answer.status_code == 404 and "not found" in answer.json()["error"]["message"]
    assert texts(server, prompt="In the", model="primer/versions/1") == texts(
        server, prompt="In the"
    )
    names = [each["id"] for each in server.http.get("/v1/models").json()["data"]]
    assert names == [f"{name}{end}" for name in ("drafts", "primer") for end in ("", "/versions/1")]


def test_models_without_the_signatures(tmp_path):
    save_toy(tmp_path / "toy" / "1", 1)
    with running([ModelConfig("toy", tmp_path / "toy")]) as server:
        answer = post(server, prompt="In the", model="toy")
        assert answer.status_code == 400
        assert "`primer export` writes them" in answer.json()["error"]["message"]


def test_a_client_that_leaves_makes_room(server, client):
    request = {"model": "primer", "prompt": "In the", "max_tokens": 30, "stream": True}
    for _ in range(4):  # more than there is room for
        with server.http.stream("POST", "/v1/completions", json=request) as stream:
            next(stream.iter_lines())
    assert texts(server, prompt=PROMPTS) == expected(client)


class Letters:
    """A vocabulary of bytes: token `i` is the byte `i`."""

    def decode(self, token_ids):
        return bytes(token_ids).decode("utf-8", "replace")

    def token(self, token_id):
        return chr(token_id)


def feed(pieces, stops=(), reason="length"):
    choice = Choice(Letters(), [65], stops, None)
    parts = []
    for i, piece in enumerate(pieces):
        finish = reason if i == len(pieces) - 1 else None
        ids = list(piece.encode("utf-8") if isinstance(piece, str) else piece)
        part = choice.add(Tokens(ids, [0.0] * len(ids), [[]] * len(ids), finish))
        parts.append(part.text)
        if part.finish_reason == "stop":
            break
    return parts


def test_characters_come_whole():
    assert feed([b"a\xe2\x82", b"\xac!"]) == ["a", "\u20ac!"]
    assert feed([b"a\xe2"]) == ["a\ufffd"]


def test_what_may_be_a_stop_string_is_held_back():
    assert feed(["one st", "op two"], ["stop"]) == ["one ", ""]
    assert feed(["one st", "art"], ["stop"]) == ["one ", "start"]
    assert feed(["one st"], ["stop"]) == ["one st"]
    assert feed(["abcabd", "x"], ["abd", "bca"]) == ["a"]


@pytest.mark.slow
def test_an_export_for_xla(model, client, tmp_path):
    """Batches have as many rows as a power of two."""
    folder = export_saved_model(model, tmp_path / "primer", jit_compile=True)
    with running([ModelConfig("primer", folder.parent)]) as server:
        assert texts(server, prompt=PROMPTS, max_tokens=LENGTH // 2 - 10) == expected(
            client, max_new_tokens=[LENGTH // 2 - 10]
        )
