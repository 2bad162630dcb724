"""The SavedModels that primer_tf exports."""

import tempfile

import numpy as np

from benchmarks.candidates import primer
from primer_tf.data.vocabulary import train_vocabulary
from primer_tf.export import export_saved_model
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
from tests.sample_text import SENTENCES


def write(folder, model, length, architecture="primer_ez", quantize=None, **kwargs):
    """Exports a model with fresh weights; returns the folder of the version."""
    causal_lm = primer.build(model, architecture)
    if quantize:
        causal_lm.quantize(quantize)
    return write_model(folder, causal_lm, length, **kwargs)


def write_model(folder, causal_lm, length, **kwargs):
    """Exports a model with a small vocabulary; returns the folder of the version."""
    tokenizer = PrimerTokenizer(train_vocabulary(SENTENCES * 4, size=300))
    causal_lm.preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=length)
    causal_lm.compile(sampler="greedy")
    return export_saved_model(causal_lm, folder, **kwargs)


def generate(model, batch_size, prompt, new, quantize=None, jit_compile=False):
    """Decodes greedily with the signature on token ids."""
    with tempfile.TemporaryDirectory() as folder:
        version = write(
            folder, model, prompt + new, quantize=quantize, ids=True, jit_compile=jit_compile
        )
        ids = np.random.default_rng(0).integers(3, model["vocabulary_size"], (batch_size, prompt))
        return generate_from(version, ids, new)


def generate_from(version, prompts, new):
    """Returns a function that completes prompts, `[B, T]` ids, and sums all new tokens."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(version))  # it reads everything
    settings = {
        "max_new_tokens": new,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "seed": 0,
    }
    inputs = {
        "token_ids": tf.constant(prompts, tf.int32),
        "lengths": tf.fill([len(prompts)], prompts.shape[1]),
        **{name: tf.constant([value]) for name, value in settings.items()},
    }

    def run():
        outputs = loaded.signatures["generate_ids"](**inputs)
        return float(outputs["token_ids"].numpy().sum())

    return run
