"""GPT-2 in CTranslate2, an inference engine in C++."""

import tempfile

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerDecoderModelSpec
from ctranslate2.specs.common_spec import Activation


def generate(model, batch_size, prompt, new, quantize=None):
    """Decodes greedily, with int8 weights if `quantize` is `"int8"`."""
    generator = build(model, prompt + new, quantize)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, model["vocabulary_size"], (batch_size, prompt))
    prompts = [[str(token) for token in row] for row in ids.tolist()]

    def run():
        results = generator.generate_batch(
            prompts, max_length=new, min_length=new, include_prompt_in_result=False
        )
        return float(sum(len(result.sequences_ids[0]) for result in results))

    return run


def build(model, length, quantize):
    """Returns a generator with fresh weights."""
    spec = TransformerDecoderModelSpec.from_config(
        model["num_layers"], model["num_heads"], pre_norm=True, activation=Activation.GELUTanh
    )
    channels, inner, rows = (
        model[key] for key in ("hidden_dim", "intermediate_dim", "vocabulary_size")
    )
    rng = np.random.default_rng(0)

    def linear(layer, outputs, inputs):
        layer.weight = 0.02 * rng.standard_normal((outputs, inputs), "float32")
        layer.bias = np.zeros(outputs, "float32")

    def norm(layer):
        layer.gamma, layer.beta = np.ones(channels, "float32"), np.zeros(channels, "float32")

    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = 0.02 * rng.standard_normal((rows, channels), "float32")
    decoder.position_encodings.encodings = np.zeros((length, channels), "float32")
    norm(decoder.layer_norm)
    linear(decoder.projection, rows, channels)
    for layer in decoder.layer:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * channels, channels)
        linear(layer.self_attention.linear[1], channels, channels)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, inner, channels)
        linear(layer.ffn.linear_1, channels, inner)
    spec.register_vocabulary([str(token) for token in range(rows)])
    spec.config.bos_token = spec.config.unk_token = "0"
    spec.config.eos_token = "1"
    spec.validate()
    spec.optimize(quantization=quantize)
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        return ctranslate2.Generator(folder, compute_type=quantize or "float32")
