"""Language model with generation and scoring."""

import keras
from keras import ops
from keras_hub.models import CausalLM

from primer_tf._compat import (
    CONFIG_FILE,
    TASK_CONFIG_FILE,
    check_file_exists,
    load_json,
)
from primer_tf.errors import UserError
from primer_tf.gin_config.presets import preset_names
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.losses.next_token_loss import NextTokenLoss
from primer_tf.models.cached_generation import CachedGeneration
from primer_tf.models.compiled_functions import CompiledFunctions
from primer_tf.models.fused_loss import FusedLoss
from primer_tf.models.jit import jit_compile_by_default
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
from primer_tf.optimizers.rsqrt_schedule import RsqrtSchedule
from primer_tf.optimizers.t5_adafactor import T5Adafactor
from primer_tf.samplers.greedy_sampler import GreedySampler, KerasHubGreedySampler

PREPROCESSOR_KEYWORDS = ("tokenizer", "sequence_length", "add_start_token", "add_end_token")


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
class PrimerCausalLM(SavedTraining, CachedGeneration, CompiledFunctions, FusedLoss, CausalLM):
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
    states, a chunk of tokens at a time; see `FusedLoss`.

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
            UserError: `max_length` is beyond the model's `max_sequence_length`, the vocabulary
                beyond its embedding, or token ids are not padded on the right.
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
