"""KerasHub's families of causal language models, plain or with Primer-EZ's changes."""

import keras
import keras_hub

from benchmarks.candidates import keras_model


def build(family, primer, model, length):
    """Returns a model with fresh weights.

    Args:
        family: Name of a family of KerasHub, such as `"Llama"`.
        primer: Whether it gets Primer-EZ's changes.
        model: Sizes, with one `num_heads`.
        length: Number of positions.
    """
    sizes, own = dict(model), {}
    heads = sizes.pop("num_heads")
    if family in ("GPT2", "OPT"):
        own = {"num_heads": heads, "max_sequence_length": length, "dropout": 0.0}
    else:
        own = {"num_query_heads": heads, "num_key_value_heads": heads // 2}
    if family == "Gemma":
        own |= {"head_dim": sizes["hidden_dim"] // heads}
    backbone = getattr(keras_hub.models, f"{family}Backbone")(**sizes, **own)
    causal_lm = getattr(keras_hub.models, f"{family}CausalLM")(backbone)
    if not primer:
        return causal_lm
    from primer_tf.drop_in import primer_ez

    return primer_ez(causal_lm)


def train_step(family, model, batch_size, length, primer=False, steps=1):
    """Trains with Adam, as `keras_hub_gpt2` does."""
    causal_lm = build(family, primer, model, length)
    causal_lm.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # TensorFlow's own operations are faster on CPUs
    )
    return keras_model.train(causal_lm, model["vocabulary_size"], batch_size, length, steps)


def generate(family, model, batch_size, prompt, new, primer=False):
    """Decodes greedily, compiled by XLA."""
    causal_lm = build(family, primer, model, prompt + new)
    causal_lm.compile(sampler="greedy", jit_compile=True)
    return keras_model.generate(causal_lm, model["vocabulary_size"], batch_size, prompt, new)


def learn(family, primer, seed, model, batch_size, length, steps, interval, documents=None):
    """Returns a function that trains on the demo text and returns the validation losses.

    Its result maps every step that `interval` divides to the nats per token of the validation text.
    `documents` limits the number of documents of both texts.
    """
    import itertools
    import sys

    from primer_tf.data.token_chunks import TokenChunks
    from primer_tf.data.vocabulary import train_vocabulary
    from primer_tf.models import PrimerTokenizer
    from primer_tf.tasks.text import TextSource

    def run():
        texts = {
            split: list(itertools.islice(TextSource("demo").documents(split), documents))
            for split in ("train", "validation")
        }
        tokenizer = PrimerTokenizer(train_vocabulary(texts["train"], model["vocabulary_size"]))
        data = {
            split: TokenChunks.from_documents(documents, tokenizer, length)
            for split, documents in texts.items()
        }
        keras.utils.set_random_seed(seed)
        causal_lm = build(family, primer, model, length)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps, warmup_target=2e-3, warmup_steps=steps // 20
        )
        causal_lm.compile(
            optimizer=keras.optimizers.AdamW(schedule, weight_decay=0.01, global_clipnorm=1.0),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=[],
            jit_compile=False,
        )
        batches = data["train"].training_batches(batch_size, seed)
        losses = {}
        for step, batch in enumerate(itertools.islice(batches, steps), start=1):
            inputs, targets, weights = batch
            causal_lm.train_on_batch(inputs, targets, weights)
            if step % interval == 0:
                losses[step] = keras_model.mean_loss(
                    causal_lm, data["validation"].evaluation_batches(32)
                )
                print(
                    f"{family} {primer} seed {seed} step {step}: {losses[step]:.4f}",
                    file=sys.stderr,
                )
        return losses

    return run
