"""The `generate` signatures: settings by row, stop strings, and what is said of the new tokens."""

import keras_hub
import numpy as np
import pytest

from primer_tf.export import export_saved_model
from tests.export.conftest import LENGTH, PROMPTS, Client, log_probabilities
from tests.models.small_models import make_model


def decoded(outputs):
    return [text.decode("utf-8") for text in outputs]


def test_greedy_is_generate(model, client):
    outputs = client("generate", prompts=PROMPTS)
    expected = model.generate(PROMPTS)
    assert decoded(outputs["texts"]) == expected
    pairs = zip(expected, PROMPTS, strict=True)
    assert decoded(outputs["completions"]) == [text[len(prompt) :] for text, prompt in pairs]
    assert set(decoded(outputs["finish_reason"])) <= {"length", "stop"}


def test_probabilities_are_those_of_a_full_pass(model, client, id_client, prompt_ids):
    ids, lengths = prompt_ids
    settings = {"temperature": [1.5], "seed": [3], "repetition_penalty": [1.3], "top_k": [30]}
    outputs = id_client("generate_ids", token_ids=ids, lengths=lengths, **settings)
    texts = client("generate", prompts=PROMPTS, **settings)
    np.testing.assert_array_equal(outputs["token_ids"], texts["token_ids"])
    for row, length, new, count, values, total in zip(
        ids,
        lengths,
        outputs["token_ids"],
        outputs["new_tokens"],
        outputs["token_log_probabilities"],
        outputs["log_probability"],
        strict=True,
    ):
        whole = [*row[:length], *new[:count]]
        expected = log_probabilities(model, whole)[length - 1 : -1]
        expected = expected[np.arange(count), new[:count]]
        np.testing.assert_allclose(values[:count], expected, atol=1e-4)
        np.testing.assert_allclose(total, expected.sum(), atol=1e-3)
        assert not values[count:].any() and not new[count:].any()


def test_a_row_depends_on_its_own_settings_only(client):
    settings = {
        "temperature": [1.0, 0.0, 2.0],
        "top_k": [5, 0, 0],
        "top_p": [1.0, 1.0, 0.8],
        "seed": [7, 8, 9],
        "max_new_tokens": [5, 3, 8],
        "repetition_penalty": [1.0, 1.2, 1.0],
        "stop": [["e"], [""], ["qqq"]],
    }
    together = client("generate", prompts=PROMPTS, **settings)
    order = [2, 0, 1]
    shuffled = {key: [value[i] for i in order] for key, value in settings.items()}
    again = client("generate", prompts=[PROMPTS[i] for i in order], **shuffled)
    for row in range(3):
        one = {key: value[row : row + 1] for key, value in settings.items()}
        alone = client("generate", prompts=PROMPTS[row : row + 1], **one)
        place = order.index(row)
        for key in ("texts", "completions", "new_tokens", "finish_reason"):
            assert alone[key][0] == together[key][row] == again[key][place], key


def test_seeds(client):
    def text(**settings):
        return client("generate", prompts=PROMPTS[:1], temperature=[1.0], **settings)["texts"][0]

    assert text(seed=[5]) == text(seed=[5]) != text(seed=[6])
    assert len({text() for _ in range(4)}) > 1  # a new seed for each request


def test_max_new_tokens(client):
    outputs = client("generate", prompts=PROMPTS, max_new_tokens=[1, 4, 2], temperature=[0.0])
    assert (outputs["new_tokens"] <= [1, 4, 2]).all()
    full = client("generate", prompts=PROMPTS)
    lengths = [len(text) for text in outputs["texts"]]
    for short, whole, size in zip(outputs["texts"], full["texts"], lengths, strict=True):
        assert whole[:size] == short


def test_stop_strings(model, client):
    """A completion ends before the first stop string, wherever the borders of tokens are."""
    plain = client("generate", prompts=PROMPTS[:1])
    whole, tokens = decoded(plain["completions"])[0], plain["token_ids"][0]
    tokenizer, tried = model.preprocessor.tokenizer, 0
    for start in range(1, len(whole) - 2):
        stop = whole[start : start + 2]
        outputs = client("generate", prompts=PROMPTS[:1], stop=[["unseen", stop]])
        assert decoded(outputs["completions"]) == [whole[: whole.index(stop)]]
        assert decoded(outputs["finish_reason"]) == ["stop"]
        if "\ufffd" not in stop:  # which stands for bytes that only the whole text shows
            # No token is decoded after the one that completes the string.
            count = int(outputs["new_tokens"][0])
            assert stop in tokenizer.detokenize(tokens[:count].tolist())
            assert stop not in tokenizer.detokenize(tokens[: count - 1].tolist())
            tried += 1
    assert tried > 3
    nowhere = client("generate", prompts=PROMPTS[:1], stop=[["unseen"]])
    assert decoded(nowhere["completions"]) == [whole]


def test_repetition_penalty(model, client, id_client, prompt_ids):
    """Keskar et al. 2019, section 4.1, on a full pass for every token."""
    ids, lengths = prompt_ids
    penalty = 1.8
    outputs = id_client(
        "generate_ids", token_ids=ids, lengths=lengths, repetition_penalty=[penalty]
    )
    for row, length, new in zip(ids, lengths, outputs["token_ids"], strict=True):
        tokens = row[:length].tolist()
        for chosen in new[: min(6, LENGTH - length)]:
            x = np.array(tokens)[None]
            logits = model({"token_ids": x, "padding_mask": np.ones_like(x)}).numpy()[0, -1]
            seen = list(set(tokens))
            logits[seen] = np.where(
                logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty
            )
            assert chosen == logits.argmax()
            tokens.append(chosen)
            if chosen == model.preprocessor.tokenizer.end_token_id:
                break


def test_a_request_costs_its_own_tokens(id_client, prompt_ids):
    """The buffers of a request are as wide as its own new tokens, not as the longest text."""
    ids, lengths = prompt_ids
    outputs = id_client("generate_ids", token_ids=ids, lengths=lengths, max_new_tokens=[2])
    assert outputs["token_ids"].shape == (3, 2)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["primer", "evolved", "switch", "synthesizer", "plusplus"])
def test_other_architectures(variant, model, tmp_path):
    # A synthesizer's positions are at most its model's.
    other = make_model(variant, model.preprocessor, max_sequence_length=LENGTH)
    other.compile(sampler="greedy", jit_compile=False)
    client = Client(export_saved_model(other, tmp_path))
    assert decoded(client("serving_default", prompts=PROMPTS)["texts"]) == other.generate(PROMPTS)


def test_the_sampler_of_the_export(model, tmp_path):
    sampled = make_model("primer_ez", model.preprocessor, num_layers=1)
    sampled.compile(sampler=keras_hub.samplers.TopPSampler(p=0.5, k=4, seed=5, temperature=0.9))
    client = Client(export_saved_model(sampled, tmp_path / "top_p"))
    defaults = client.signature("generate").defaults
    assert defaults["top_k"].int_val[:] == [4] and defaults["seed"].int_val[:] == [5]
    outputs = client("serving_default", prompts=PROMPTS)["texts"]
    assert (outputs == client("generate", prompts=PROMPTS)["texts"]).all()


@pytest.mark.slow
def test_beam_search(model, tmp_path):
    beam = make_model("primer_ez", model.preprocessor, num_layers=1)
    beam.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3), jit_compile=False)
    client = Client(export_saved_model(beam, tmp_path / "beam"))
    outputs = client("serving_default", prompts=PROMPTS)["texts"]
    assert decoded(outputs) == beam.generate(PROMPTS) != model.generate(PROMPTS)
