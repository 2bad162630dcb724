"""Language model with generation and scoring."""

import keras
from keras import ops
from keras_hub.models import CausalLM

from primer_tf.errors import UserError
from primer_tf.models.presets import PRESETS
from primer_tf.models.primer_backbone import PrimerBackbone, check_preset
from primer_tf.models.primer_causal_lm_preprocessor import PrimerCausalLMPreprocessor
from primer_tf.training.jit import JIT_COMPILE
from primer_tf.training.next_token_loss import NextTokenLoss
from primer_tf.training.rsqrt_schedule import RsqrtSchedule
from primer_tf.training.t5_adafactor import T5Adafactor


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerCausalLM(CausalLM):
    """A `PrimerBackbone` with the embedding, transposed, as its head.

    Logits are the products with the embedding times `C ** -0.5`, as T5 scales a shared embedding
    (`mesh_tensorflow.transformer.vocab_embeddings`).

    Args:
        backbone: A `PrimerBackbone`.
        preprocessor: A `PrimerCausalLMPreprocessor`, or `None` to work on token ids.
        **kwargs: Arguments of `keras_hub.models.CausalLM`.

    Call arguments:
        inputs: Dict of `"token_ids"` and `"padding_mask"`, `[B, T]`.

    Returns:
        Logits `[B, T, V]`.

    Example:

    >>> tokenizer = PrimerTokenizer("vocabulary.model")
    >>> model = PrimerCausalLM.from_preset(
    ...     "tiny_primer_ez", preprocessor=PrimerCausalLMPreprocessor(tokenizer, 128)
    ... )
    >>> model.fit(["In the beginning", "Let there be light"], batch_size=2)
    >>> model.generate("In the", max_length=32)
    """

    backbone_cls = PrimerBackbone
    preprocessor_cls = PrimerCausalLMPreprocessor

    def __init__(self, backbone, preprocessor=None, **kwargs):
        self.backbone = backbone
        self.preprocessor = preprocessor
        inputs = backbone.input
        outputs = self._logits(backbone(inputs))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    def _logits(self, hidden_states):
        scale = self.backbone.hidden_dim**-0.5
        return self.backbone.token_embedding(hidden_states * scale, reverse=True)

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Returns the model of a preset; see `PrimerBackbone.from_preset`.

        A name of the zoo brings neither weights nor vocabulary: pass `preprocessor` to work on
        strings.
        """
        if preset not in PRESETS and not kwargs:
            check_preset(preset)
            return super().from_preset(preset, load_weights=load_weights)
        own = {key: kwargs.pop(key) for key in ("preprocessor", "compile") if key in kwargs}
        backbone = PrimerBackbone.from_preset(preset, load_weights=load_weights, **kwargs)
        if "preprocessor" not in own and preset not in PRESETS:
            own["preprocessor"] = PrimerCausalLMPreprocessor.from_preset(preset)
        return cls(backbone=backbone, **own)

    def compile(self, optimizer="auto", loss="auto", jit_compile="auto", **kwargs):
        """Configures training and generation, with T5's training by default.

        Args:
            optimizer: Default: `T5Adafactor` on an `RsqrtSchedule`.
            loss: Default: `NextTokenLoss` with T5's z-loss of 1e-4.
            jit_compile: Default: true on TensorFlow and JAX.
            **kwargs: Arguments of `keras_hub.models.CausalLM.compile`.
        """
        if optimizer == "auto":
            optimizer = T5Adafactor(RsqrtSchedule())
        if loss == "auto":
            loss = NextTokenLoss(z_loss=1e-4)
        if jit_compile == "auto":
            jit_compile = JIT_COMPILE
        super().compile(optimizer=optimizer, loss=loss, jit_compile=jit_compile, **kwargs)

    def generate(self, inputs, max_length=None, **kwargs):
        """Generates text as `keras_hub.models.CausalLM.generate` does.

        Raises:
            UserError: `max_length` is beyond the model's `max_sequence_length`.
        """
        limit = self.backbone.max_sequence_length
        if max_length is not None and max_length > limit:
            raise UserError(
                f"max_length {max_length} is beyond the model's {limit} tokens; lower it, or load "
                f"the model with max_sequence_length={max_length}."
            )
        return super().generate(inputs, max_length=max_length, **kwargs)

    def call_with_cache(self, token_ids, cache, cache_update_index):
        """Runs the model on tokens that follow those already in a cache.

        Args:
            token_ids: `[B, T]` integers.
            cache: What `build_cache` or an earlier call returned.
            cache_update_index: Position of the first of them.

        Returns:
            `(logits, hidden_states, cache)`: `[B, T, V]`, `[B, T, C]`, and the updated cache.
        """
        x = self.backbone.token_embedding(token_ids)
        x, cache = self.backbone.decoder(x, cache=cache, cache_update_index=cache_update_index)
        return self._logits(x), x, cache

    def _build_cache(self, token_ids):
        """Returns hidden states `[B, T, C]` and the cache after all of `token_ids`, `[B, T]`."""
        batch_size, max_length = ops.shape(token_ids)
        cache = self.backbone.decoder.build_cache(batch_size, max_length)
        _, hidden_states, cache = self.call_with_cache(token_ids, cache, 0)
        return hidden_states, cache

    def generate_step(self, inputs, stop_token_ids=None):
        """Generates for one batch, as one function that can be compiled.

        Rows may have prompts of different lengths: decoding starts at the shortest, and longer
        rows keep their own tokens until their prompt ends.

        Args:
            inputs: Dict of `"token_ids"`, `[B, T]` integers with room for the new tokens, and
                `"padding_mask"`, `[B, T]`, true on the prompts.
            stop_token_ids: Ids that end a row, or `None`.

        Returns:
            Dict of the same keys and shapes, the mask true up to each row's end.
        """
        token_ids, padding_mask = inputs["token_ids"], ops.cast(inputs["padding_mask"], "bool")
        hidden_states, cache = self._build_cache(token_ids)
        start = ops.min(ops.sum(ops.cast(padding_mask, "int32"), axis=-1))

        def next(prompt, cache, index):
            # The token to feed is the one before the token to predict.
            before = ops.slice(prompt, (0, index - 1), (ops.shape(prompt)[0], 1))
            logits, hidden_states, cache = self.call_with_cache(before, cache, index - 1)
            return logits[:, 0], hidden_states[:, 0], cache

        token_ids = self.sampler(
            next=next,
            prompt=token_ids,
            cache=cache,
            index=start,
            mask=padding_mask,
            stop_token_ids=stop_token_ids,
            hidden_states=hidden_states,
            model=self,
        )
        if stop_token_ids is None:
            return {
                "token_ids": token_ids,
                "padding_mask": ops.ones_like(token_ids, dtype="bool"),
            }
        stops = ops.convert_to_tensor(list(stop_token_ids), dtype=token_ids.dtype)
        is_stop = ops.any(ops.equal(token_ids[:, :, None], stops), axis=-1)
        is_stop = ops.cast(ops.logical_and(is_stop, ops.logical_not(padding_mask)), "int32")
        # True up to and including the first stop token after the prompt.
        stopped_before = ops.cumsum(is_stop, axis=-1) - is_stop
        return {"token_ids": token_ids, "padding_mask": ops.equal(stopped_before, 0)}

    def score(
        self,
        token_ids,
        padding_mask=None,
        scoring_mode="logits",
        layer_intercept_fn=None,
        target_ids=None,
    ):
        """Scores given tokens.

        Args:
            token_ids: `[B, T]` integers.
            padding_mask: `[B, T]`, true at real tokens. Default: all of them.
            scoring_mode: `"logits"` or `"loss"`.
            layer_intercept_fn: Called as `fn(x, i)` on the embeddings (`i = -1`) and on what block
                `i` returns; its result goes on.
            target_ids: `[B, T]` integers, what each position should predict; for `"loss"`.

        Returns:
            Logits `[B, T, V]`, or losses in nats `[B, T]`.

        Raises:
            ValueError: Unknown mode, or `"loss"` without targets.
        """
        if scoring_mode not in ("logits", "loss"):
            raise ValueError(
                f"`scoring_mode` must be 'logits' or 'loss'; received {scoring_mode!r}."
            )
        if scoring_mode == "loss" and target_ids is None:
            raise ValueError("`score(scoring_mode='loss')` needs `target_ids`.")
        token_ids = ops.convert_to_tensor(token_ids)
        if padding_mask is None:
            padding_mask = ops.ones(ops.shape(token_ids)[:2], dtype="bool")
        x = self.backbone.token_embedding(token_ids)
        if layer_intercept_fn is not None:
            x = layer_intercept_fn(x, -1)
        x = self.backbone.decoder(
            x, padding_mask=padding_mask, layer_intercept_fn=layer_intercept_fn
        )
        logits = self._logits(x)
        if scoring_mode == "logits":
            return logits
        return keras.losses.sparse_categorical_crossentropy(target_ids, logits, from_logits=True)
