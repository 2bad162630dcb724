"""What lm-eval asks of a model, by one pass in NumPy over the whole text for each answer.

It shares no code with the package: SentencePiece tokenizes, a softmax in float64 scores, and greedy
texts grow by one token with each pass.
"""

import functools

import numpy as np
import sentencepiece

from tests.layers import numpy_reference as reference

START, END = 0, 1


class SlowReference:
    """A Primer-EZ in NumPy, with the weights of a model.

    Args:
        model: A `PrimerCausalLM` of pre-normalized blocks of attention and a plain feed-forward
            layer, without biases in attention.
        max_length: Number of tokens that it sees.
    """

    def __init__(self, model, max_length):
        self.max_length = max_length
        self.vocabulary = sentencepiece.SentencePieceProcessor(
            model_proto=model.preprocessor.tokenizer.proto
        )
        backbone = model.backbone
        self.embedding = read(backbone.token_embedding.embeddings)
        (table,) = backbone.decoder.position_bias_layers
        self.bias_table = read(table.embeddings)
        self.blocks = [
            [(sublayer.layer, map(read, sublayer.norm.weights)) for sublayer in block.sublayers]
            for block in backbone.decoder.blocks
        ]
        self.blocks = [
            (attention, list(norm), feed_forward, list(other_norm))
            for (attention, norm), (feed_forward, other_norm) in self.blocks
        ]
        self.norm = [read(weight) for weight in backbone.decoder.norm.weights]
        self.scale = self.embedding.shape[1] ** -0.5
        self.bias = functools.cache(self._bias)

    def _bias(self, length):
        buckets = [reference.relative_position_bucket(i) for i in range(length)]
        distance = np.arange(length)[:, None] - np.arange(length)
        bias = self.bias_table[:, np.array(buckets)[np.maximum(distance, 0)]]
        return np.where(distance >= 0, bias, -np.inf)

    def hidden_states(self, ids):
        """Returns the last hidden state of each token."""
        x = self.embedding[ids]
        for attention, norm, feed_forward, other_norm in self.blocks:
            x = x + self._attention(attention, reference.layer_norm(x, *norm))
            x = x + self._feed_forward(feed_forward, reference.layer_norm(x, *other_norm))
        return reference.layer_norm(x, *self.norm)

    def logits(self, states):
        return states @ self.embedding.T * self.scale

    def _attention(self, layer, x):
        def project(name):
            y = x @ read(layer.projections[name].kernel)
            if not hasattr(layer, "convolutions"):
                return y
            taps = [read(tap) for tap in layer.convolutions[name].taps]
            padded = np.pad(y, ((len(taps) - 1, 0), (0, 0)))
            last = len(taps) - 1
            return sum(tap * padded[last - i : last - i + len(y)] for i, tap in enumerate(taps))

        heads = [
            project(name).reshape(len(x), layer.num_heads, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        ]
        q, k, v = heads
        weights = reference.softmax(q @ k.transpose(0, 2, 1) + self.bias(len(x)))
        mixed = (weights @ v).transpose(1, 0, 2).reshape(len(x), -1)
        return mixed @ read(layer.output_dense.kernel)

    def _feed_forward(self, layer, x):
        inner, outer = layer.intermediate_dense, layer.output_dense
        activation = reference.ACTIVATIONS[layer.activation.__name__]
        hidden = activation(x @ read(inner.kernel) + read(inner.bias))
        return hidden @ read(outer.kernel) + read(outer.bias)

    def encode(self, context, continuation):
        """Returns the tokens of a text in lm-eval's two parts."""
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        given = [START, *self.vocabulary.encode(context)]
        whole = [START, *self.vocabulary.encode(context + continuation)]
        if len(whole) > len(given):
            return given, whole[len(given) :]
        shared = next(
            i for i, pair in enumerate(zip(given, whole, strict=False)) if len({*pair}) > 1
        )
        return whole[:shared], whole[shared:]

    def log_likelihood(self, context, continuation):
        """Returns the nats of a continuation, and whether it is greedy."""
        given, scored = self.encode(context, continuation)
        seen = [*given, *scored][:-1][-self.max_length :]
        logits = self.logits(self.hidden_states(seen)[-len(scored) :])
        normalizer = np.log(np.exp(logits).sum(axis=-1))
        nats = logits[np.arange(len(scored)), scored] - normalizer
        return nats.sum(), bool((logits.argmax(axis=-1) == scored).all())

    def completion(self, context, stop, max_new_tokens):
        """Returns the greedy text before a stop text, and the smallest lead of a token."""
        ids = [START, *self.vocabulary.encode(context)][-(self.max_length - max_new_tokens) :]
        new, lead = [], np.inf
        while len(new) < max_new_tokens:
            logits = self.logits(self.hidden_states([*ids, *new])[-1])
            second, best = np.sort(logits)[-2:]
            lead = min(lead, best - second)
            new.append(int(logits.argmax()))
            text = self.text(ids, new)
            if new[-1] == END or any(each in text for each in stop):
                break
        text = self.text(ids, new[:-1] if new[-1] == END else new)
        ends = [text.index(each) for each in stop if each in text]
        return text[: min(ends)] if ends else text, lead

    def text(self, ids, new):
        """Returns what new tokens add to the text of a prompt."""
        size = self.vocabulary.get_piece_size()  # The table of embeddings may have more rows.
        known = [i if i < size else self.vocabulary.unk_id() for i in (*ids, *new)]
        before = self.vocabulary.decode(known[: len(ids)])
        return self.vocabulary.decode(known)[len(before) :]


VALUES = {}


def read(variable):
    """Returns a variable's value, read once; the variable is kept, so that its id stays its own."""
    if id(variable) not in VALUES:
        VALUES[id(variable)] = variable, np.asarray(variable, "float64")
    return VALUES[id(variable)][1]
