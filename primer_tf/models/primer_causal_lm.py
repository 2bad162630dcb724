"""Language model with generation and scoring."""

import keras
from keras import ops
from keras_hub.models import CausalLM
from keras_hub.src.utils.preset_utils import (
    CONFIG_FILE,
    TASK_CONFIG_FILE,
    check_file_exists,
    load_json,
)

from primer_tf.errors import UserError
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.layers.dense import gains_from_int8_product, int8_product, is_one_vector
from primer_tf.models.fused_loss import FusedLossCausalLM
from primer_tf.models.greedy_sampler import GreedySampler, KerasHubGreedySampler
from primer_tf.models.preset_files import (
    OF_STRINGS,
    OF_WEIGHTS,
    check_preset,
    has_tokenizer,
    replace_preset,
)
from primer_tf.models.primer_backbone import MODEL_KEYWORDS, PrimerBackbone
from primer_tf.models.primer_causal_lm_preprocessor import PrimerCausalLMPreprocessor
from primer_tf.models.saved_training import SavedTraining
from primer_tf.training.jit import jit_compile_by_default
from primer_tf.training.next_token_loss import NextTokenLoss
from primer_tf.training.rsqrt_schedule import RsqrtSchedule
from primer_tf.training.t5_adafactor import T5Adafactor
from primer_tf.zoo.presets import preset_names

PREPROCESSOR_KEYWORDS = ("tokenizer", "sequence_length", "add_start_token", "add_end_token")

# Positions of a prompt that run at once: enough rows for fast matrix products.
PREFILL_CHUNK = 64


def _preprocessor(preset, overrides):
    """Returns the preprocessor of a preset with other arguments, or `None` if it has none."""
    if has_tokenizer(preset):
        return PrimerCausalLMPreprocessor.from_preset(preset, **overrides)
    if "tokenizer" in overrides:
        return PrimerCausalLMPreprocessor(**overrides)
    if overrides:
        raise UserError(
            f"{', '.join(sorted(overrides))} belongs to the preprocessor, and preset {preset!r} "
            "has none; pass a tokenizer as well."
        )
    return None


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerCausalLM(SavedTraining, FusedLossCausalLM):
    """A `PrimerBackbone` with the embedding, transposed, as its head.

    Logits are the products with the embedding times `C ** -0.5`, as T5 scales a shared embedding
    (`mesh_tensorflow.transformer.vocab_embeddings`).

    Args:
        backbone: A `PrimerBackbone`.
        preprocessor: A `PrimerCausalLMPreprocessor`, or `None` to work on token ids.
        **kwargs: `name`, `trainable`, and `compile`, whether to compile with the defaults.

    Call arguments:
        inputs: Dict of `"token_ids"` and `"padding_mask"`, `[B, T]`.

    Returns:
        Logits `[B, T, V]`.

    `fit` and `evaluate` do not hold those where they can make the loss straight from the hidden
    states, a chunk of tokens at a time; see `FusedLossCausalLM`.

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
        known = (*parameter_names(type(self), PrimerCausalLM), *MODEL_KEYWORDS, "compile")
        check_keywords(type(self).__name__, kwargs, known)
        self.backbone = backbone
        self.preprocessor = preprocessor
        inputs = backbone.input
        outputs = self._logits(backbone(inputs))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    def _logits(self, hidden_states):
        return self.backbone.token_embedding(self._scaled(hidden_states), reverse=True)

    def _scaled(self, hidden_states):
        return hidden_states * self.backbone.hidden_dim**-0.5

    @property
    def preprocessor(self):
        """The `PrimerCausalLMPreprocessor`, or `None` to work on token ids."""
        return CausalLM.preprocessor.fget(self)

    @preprocessor.setter
    def preprocessor(self, value):
        CausalLM.preprocessor.fset(self, value)
        self._check_vocabulary()

    def _check_vocabulary(self):
        """Raises `UserError` if the tokenizer gives ids for which the embedding has no row."""
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        # While a model is loaded, its tokenizer has no vocabulary yet.
        pieces = tokenizer.vocabulary_size() if getattr(tokenizer, "proto", None) else 0
        if pieces > self.backbone.vocabulary_size:
            raise UserError(
                f"The vocabulary has {pieces} pieces, more than the "
                f"{self.backbone.vocabulary_size} rows of the model's embedding; use the "
                "vocabulary that the model was trained with, or make a model with as many rows."
            )

    @property
    def trainable(self):
        """Whether the backbone is trained, which has all the weights.

        One flag: with two, TensorFlow would skip setting the model's to what it is already.
        """
        return self.backbone.trainable

    @trainable.setter
    def trainable(self, value):
        self.backbone.trainable = value
        CausalLM.trainable.fset(self, value)

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Returns the model of a preset.

        A name of the zoo brings neither weights nor vocabulary: pass `preprocessor`, or the
        `tokenizer` of one, to work on strings.

        Args:
            preset: As of `PrimerBackbone.from_preset`.
            load_weights: Whether to load the weights of a directory or handle.
            **kwargs: Arguments of the model; and overrides of those of its preprocessor, such as
                `sequence_length`, and of its backbone.

        Returns:
            A `PrimerCausalLM`.

        Raises:
            UserError: The preset is unknown or incomplete, or there is no preprocessor to override.
            ValueError: An unknown argument.
        """
        preset = str(preset)
        check_preset(preset)
        in_zoo = preset in preset_names()
        if not kwargs and not in_zoo and check_file_exists(preset, TASK_CONFIG_FILE):
            more = {}
            saved = load_json(preset, CONFIG_FILE)["config"].get("dtype")
            if saved and str(saved["config"].get("name")).startswith("mixed_"):
                more["dtype"] = saved  # KerasHub takes the name for one of a dtype
            model = super().from_preset(preset, load_weights=load_weights, **more)
            model._check_vocabulary()
            return model
        of_model = {"preprocessor", "name", "compile"}
        of_preprocessor = set(
            parameter_names(PrimerCausalLMPreprocessor, PrimerCausalLMPreprocessor)
        )
        of_backbone = {*parameter_names(PrimerBackbone, PrimerBackbone), *MODEL_KEYWORDS}
        known = of_model | of_preprocessor | of_backbone
        check_keywords(f"{cls.__name__}.from_preset", kwargs, known | {"load_weights"})
        own = {key: kwargs.pop(key) for key in of_model & kwargs.keys()}
        overrides = {key: kwargs.pop(key) for key in of_preprocessor & kwargs.keys()}
        if "preprocessor" not in own:
            own["preprocessor"] = _preprocessor(preset, overrides)
        elif overrides:
            raise UserError(
                f"{', '.join(sorted(overrides))} belongs to the preprocessor; give it to the one "
                "that is passed."
            )
        backbone = PrimerBackbone.from_preset(preset, load_weights=load_weights, **kwargs)
        return cls(backbone=backbone, **own)

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Saves the model in a preset's directory.

        Args:
            preset_dir: The directory. An older preset in it is replaced in one go, its tokenizer
                and the state of its optimizer included.
            max_shard_size: Gigabytes of a file of weights, `None` for one file.
        """

        def save(folder):
            super(PrimerCausalLM, self).save_to_preset(folder, max_shard_size=max_shard_size)

        replace_preset(preset_dir, save, OF_WEIGHTS + OF_STRINGS)

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        jit_compile="auto",
        weighted_metrics="auto",
        **kwargs,
    ):
        """Configures training and generation, with T5's training by default.

        Args:
            optimizer: Default: `T5Adafactor` on an `RsqrtSchedule`.
            loss: Default: `NextTokenLoss` with T5's z-loss of 1e-4.
            jit_compile: Whether XLA compiles training and generation. Default: generation always
                but on PyTorch; training on JAX, and on TensorFlow with an accelerator.
            weighted_metrics: Default: `keras.metrics.SparseCategoricalAccuracy`.
            **kwargs: Arguments of `keras_hub.models.CausalLM.compile`.
        """
        if optimizer == "auto":
            optimizer = T5Adafactor(RsqrtSchedule())
        if loss == "auto":
            loss = NextTokenLoss(z_loss=1e-4)
        self._jit_generate = self._asked_jit_compile = jit_compile
        if jit_compile == "auto":
            jit_compile = jit_compile_by_default()
            self._jit_generate = keras.backend.backend() != "torch"
        if weighted_metrics == "auto":
            weighted_metrics = [keras.metrics.SparseCategoricalAccuracy()]
        super().compile(
            optimizer=optimizer,
            loss=loss,
            jit_compile=jit_compile,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )
        if type(self.sampler) is KerasHubGreedySampler:
            self.sampler = GreedySampler()

    def generate(self, inputs, max_length=None, **kwargs):
        """Generates text as `keras_hub.models.CausalLM.generate` does.

        Raises:
            UserError: `max_length` is beyond the model's `max_sequence_length`, or the vocabulary
                beyond its embedding.
        """
        self._check_vocabulary()
        limit = self.backbone.max_sequence_length
        if max_length is not None and max_length > limit:
            raise UserError(
                f"max_length {max_length} is beyond the model's {limit} tokens; lower it, or load "
                f"the model with max_sequence_length={max_length}."
            )
        return super().generate(inputs, max_length=max_length, **kwargs)

    def make_generate_function(self):
        """Returns the function that generates for a batch, compiled as `compile` said."""
        jit_compile = self.jit_compile
        self.jit_compile = self._jit_generate
        try:
            return super().make_generate_function()
        finally:
            self.jit_compile = jit_compile

    def call_with_cache(self, token_ids, cache, cache_update_index):
        """Runs the model on tokens that follow those already in a cache.

        Args:
            token_ids: `[B, T]` integers.
            cache: What `build_cache` or an earlier call returned.
            cache_update_index: Position of the first of them.

        Returns:
            `(logits, hidden_states, cache)`: `[B, T, V]`, `[B, T, C]`, and the updated cache.
        """
        x, cache = self._extend_cache(token_ids, cache, cache_update_index)
        return self._logits(x), x, cache

    def _extend_cache(self, token_ids, cache, cache_update_index):
        x = self.backbone.token_embedding(token_ids)
        return self.backbone.decoder(x, cache=cache, cache_update_index=cache_update_index)

    def _head_for_loops(self):
        """Returns `_logits` for a loop's body; the embedding is transposed once, outside it."""
        embedding = self.backbone.token_embedding
        if gains_from_int8_product(embedding):
            return self._int8_logits
        if embedding.quantization_mode is not None:
            return self._logits
        table = ops.transpose(ops.convert_to_tensor(embedding.embeddings))
        table = ops.cast(table, embedding.compute_dtype)
        return lambda hidden_states: ops.matmul(self._scaled(hidden_states), table)

    def _int8_logits(self, hidden_states):
        if not is_one_vector(hidden_states):
            return self._logits(hidden_states)
        embedding = self.backbone.token_embedding
        return int8_product(
            self._scaled(hidden_states),
            embedding.embeddings,
            embedding.embeddings_scale,
            embedding.inputs_quantizer,
        )

    def _build_cache(self, token_ids, length=None):
        """Runs the model on prompts, a chunk of positions at a time.

        Args:
            token_ids: `[B, T]` integers.
            length: How many positions to run, an integer or a scalar tensor; default: all. Only
                whole chunks are run, so that one compiled function serves prompts of any length.

        Returns:
            `(hidden_states, cache)`: `[B, T, C]`, zeros where nothing was run, and the cache.
        """
        batch_size, max_length = ops.shape(token_ids)
        chunk = min(PREFILL_CHUNK, max_length) if isinstance(max_length, int) else max_length
        hidden_dim = self.backbone.hidden_dim

        def more(index, hidden_states, cache):
            return index < (max_length if length is None else length)

        def run(index, hidden_states, cache):
            # The last chunk may start inside the one before: a cache takes positions again.
            start = ops.minimum(index, max_length - chunk)
            tokens = ops.slice(token_ids, (0, start), (batch_size, chunk))
            x, cache = self._extend_cache(tokens, cache, start)
            return index + chunk, ops.slice_update(hidden_states, (0, start, 0), x), cache

        hidden_states = ops.zeros((batch_size, max_length, hidden_dim), dtype=self.compute_dtype)
        cache = self.backbone.decoder.build_cache(batch_size, max_length)
        start = ops.convert_to_tensor(0, dtype="int32")
        _, hidden_states, cache = ops.while_loop(more, run, (start, hidden_states, cache))
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
        lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=-1)
        hidden_states, cache = self._build_cache(token_ids, ops.max(lengths))
        start = ops.min(lengths)
        head = self._head_for_loops()

        def next(prompt, cache, index):
            # The token to feed is the one before the token to predict.
            before = ops.slice(prompt, (0, index - 1), (ops.shape(prompt)[0], 1))
            hidden_states, cache = self._extend_cache(before, cache, index - 1)
            return head(hidden_states)[:, 0], hidden_states[:, 0], cache

        with self.backbone.decoder.laid_out_for_decoding():
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
