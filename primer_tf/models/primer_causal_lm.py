"""Language model with generation and scoring."""

from collections.abc import Callable
from typing import Any

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
from primer_tf.gin_config.trained_presets import preset_path
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.losses.next_token_loss import NextTokenLoss
from primer_tf.models.cached_generation import CachedGeneration
from primer_tf.models.compiled_functions import CompiledFunctions
from primer_tf.models.default_optimizer import default_optimizer
from primer_tf.models.fused_loss import FusedLoss
from primer_tf.models.jit import jit_compile_by_default
from primer_tf.models.make_draft import make_speculative_decoding
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
from primer_tf.models.several_workers import SeveralWorkers
from primer_tf.models.whole_batches import only, repeat_last_prompt
from primer_tf.samplers.greedy_sampler import GreedySampler, KerasHubGreedySampler
from primer_tf.types import Config, StrPath, Tensor

PREPROCESSOR_KEYWORDS = ("tokenizer", "sequence_length", "add_start_token", "add_end_token")


def _preprocessor(preset: str, overrides: Config) -> PrimerCausalLMPreprocessor | None:
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
class PrimerCausalLM(
    SavedTraining, CachedGeneration, CompiledFunctions, SeveralWorkers, FusedLoss, CausalLM
):
    """A `PrimerBackbone` with the embedding, transposed, as its head.

    Logits are the products with the embedding times `C ** -0.5`, as T5 scales a shared embedding
    (`mesh_tensorflow.transformer.vocab_embeddings`).

    `fit` and `evaluate` compute the loss from hidden states, a chunk of tokens at a time, and never
    hold the logits of a batch. With a loss, metrics or labels for which this is impossible they
    compute it from logits (see `primer_tf.models.fused_loss`).

    Args:
        backbone: A `PrimerBackbone`.
        preprocessor: A `PrimerCausalLMPreprocessor`, or `None` to work on token ids. Defaults to
            `None`.
        **kwargs: `name`, `trainable`, and `compile`, whether to compile with the defaults.

    Call arguments:
        inputs: Dict of `"token_ids"`, `[B, T]` integers, and `"padding_mask"`, `[B, T]`, true at
            real tokens.

    Returns:
        Logits, `[B, T, V]`.

    Raises:
        ValueError: An argument is unknown.
        UserError: The tokenizer has more pieces than the embedding has rows.

    Example:

    >>> from primer_tf.data.vocabulary import train_vocabulary
    >>> from primer_tf.models import PrimerBackbone, PrimerCausalLM
    >>> from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
    >>> texts = ["In the beginning God created the heaven and the earth."]
    >>> tokenizer = PrimerTokenizer(train_vocabulary(texts, size=280))
    >>> backbone = PrimerBackbone(280, num_layers=1, hidden_dim=16, num_heads=2, head_dim=8)
    >>> preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=16)
    >>> model = PrimerCausalLM(backbone, preprocessor)
    >>> history = model.fit(texts, batch_size=1, verbose=0)
    >>> sorted(history.history)
    ['loss', 'sparse_categorical_accuracy']
    >>> model.generate("In the", max_length=12).startswith("In the")
    True
    """

    backbone_cls = PrimerBackbone
    presets = PrimerBackbone.presets
    preprocessor_cls = PrimerCausalLMPreprocessor
    sampler: Any

    def __init__(
        self,
        backbone: PrimerBackbone,
        preprocessor: PrimerCausalLMPreprocessor | None = None,
        **kwargs: Any,
    ) -> None:
        known = (*parameter_names(type(self), PrimerCausalLM), *MODEL_KEYWORDS, "compile")
        check_keywords(type(self).__name__, kwargs, known)
        self.backbone = backbone
        self.preprocessor = preprocessor
        inputs = backbone.input
        outputs = self._logits(backbone(inputs))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    def _logits(self, hidden_states: Tensor) -> Tensor:
        return self.backbone.token_embedding(self._scaled(hidden_states), reverse=True)

    def _scaled(self, hidden_states: Tensor) -> Tensor:
        return hidden_states * self.backbone.hidden_dim**-0.5

    @property
    def preprocessor(self) -> PrimerCausalLMPreprocessor | None:
        """The `PrimerCausalLMPreprocessor`, or `None` to work on token ids."""
        return CausalLM.preprocessor.fget(self)

    @preprocessor.setter
    def preprocessor(self, value: PrimerCausalLMPreprocessor | None) -> None:
        CausalLM.preprocessor.fset(self, value)
        self._check_vocabulary()

    def _check_vocabulary(self) -> None:
        """Raises `UserError` if the tokenizer has more pieces than the embedding has rows."""
        tokenizer: Any = getattr(self.preprocessor, "tokenizer", None)
        # While a model is loaded, its tokenizer has no vocabulary yet.
        pieces = tokenizer.vocabulary_size() if getattr(tokenizer, "proto", None) else 0
        if pieces > self.backbone.vocabulary_size:
            raise UserError(
                f"The vocabulary has {pieces} pieces, more than the "
                f"{self.backbone.vocabulary_size} rows of the model's embedding; use the "
                "vocabulary that the model was trained with, or make a model with as many rows."
            )

    @property
    def trainable(self) -> bool:
        """Whether the backbone, which has all the weights, is trained."""
        # A second flag could differ, and TensorFlow skips setting a flag to the value it has.
        return self.backbone.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.backbone.trainable = value
        CausalLM.trainable.fset(self, value)

    @classmethod
    def from_preset(
        cls, preset: StrPath, load_weights: bool = True, **kwargs: Any
    ) -> "PrimerCausalLM":
        """Returns the model of a preset.

        Presets of the model zoo have neither weights nor a vocabulary. Pass `preprocessor`, or the
        `tokenizer` of one, to work on strings.

        Args:
            preset: Name in the model zoo, a directory that `save_to_preset` wrote, or a hub handle
                such as `"hf://user/model"`.
            load_weights: Whether to load the weights of a directory or handle. Defaults to `True`.
            **kwargs: Arguments of the model, and arguments of its preprocessor (such as
                `sequence_length`) and of its backbone, in place of those of the preset.

        Returns:
            A `PrimerCausalLM`.

        Raises:
            UserError: The preset is unknown or incomplete, or arguments of a preprocessor are given
                and there is none.
            ValueError: An argument is unknown.
        """
        preset = preset_path(preset)
        check_preset(preset)
        in_zoo = preset in preset_names()
        if not kwargs and not in_zoo and check_file_exists(preset, TASK_CONFIG_FILE):
            more = {}
            saved = load_json(preset, CONFIG_FILE)["config"].get("dtype")
            if saved and str(saved["config"].get("name")).startswith("mixed_"):
                more["dtype"] = saved  # KerasHub would take the policy's name for a dtype.
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

    def save_to_preset(self, preset_dir: StrPath, max_shard_size: float | None = 10) -> None:
        """Saves the model in a preset's directory.

        Args:
            preset_dir: The directory. A preset in it is replaced in one step, including its
                tokenizer and the state of its optimizer.
            max_shard_size: Largest size of a file of weights in gigabytes, or `None` for a single
                file. Defaults to 10.
        """

        def save(folder: str) -> None:
            super(PrimerCausalLM, self).save_to_preset(folder, max_shard_size=max_shard_size)

        replace_preset(preset_dir, save, OF_WEIGHTS + OF_STRINGS)

    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = "auto",
        jit_compile: bool | str = "auto",
        weighted_metrics: Any = "auto",
        sampler: Any = "top_k",
        draft: "PrimerCausalLM | str | None" = None,
        **kwargs: Any,
    ) -> None:
        """Configures training and generation, with T5's training by default.

        Args:
            optimizer: A Keras optimizer or its name. Defaults to `T5Adafactor` with an
                `RsqrtSchedule`, or if LoRA is enabled, now or later, to AdamW.
            loss: A Keras loss or its name. Defaults to `NextTokenLoss` with T5's z-loss of 1e-4.
            jit_compile: Whether XLA compiles training and generation. By default it compiles
                generation on TensorFlow and JAX, and training on JAX and on TensorFlow with an
                accelerator.
            weighted_metrics: List of metrics that take sample weights, or `None`. Defaults to
                `keras.metrics.SparseCategoricalAccuracy`.
            sampler: A KerasHub sampler or its name. Defaults to `"top_k"`, which draws from the 5
                most probable tokens; so does `primer generate`.
            draft: What proposes tokens that the model then checks several at a time, which changes
                the speed of `generate` and not its texts: `"ngram"` for what followed the last
                tokens where they came before, or a smaller model of the same vocabulary. Defaults
                to `None`, no proposals.
            **kwargs: Arguments of `keras_hub.models.CausalLM.compile`.

        Raises:
            UserError: The draft is unknown, has another vocabulary, or the sampler chooses among
                several texts.
        """
        self._optimizer_by_default = optimizer == "auto"
        if self._optimizer_by_default:
            optimizer = default_optimizer(self.backbone)
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
            sampler=sampler,
            **kwargs,
        )
        if type(self.sampler) is KerasHubGreedySampler:
            self.sampler = GreedySampler()
        self._speculative_decoding = make_speculative_decoding(self, draft)

    def generate(self, inputs: Any, max_length: int | None = None, **kwargs: Any) -> Any:
        """Generates text that continues prompts.

        Args:
            inputs: A string, a list or tensor of strings, or a `tf.data.Dataset`. Without a
                preprocessor, a dict of `"token_ids"` and `"padding_mask"`.
            max_length: Largest number of tokens of prompt and completion together, at most the
                model's `max_sequence_length`. Defaults to the preprocessor's `sequence_length`.
            **kwargs: Arguments of `keras_hub.models.CausalLM.generate`.

        Returns:
            Prompts and completions: strings, or without a preprocessor a dict as `inputs`.

        Raises:
            UserError: `max_length` is above `max_sequence_length`, the tokenizer has more pieces
                than the embedding has rows, or token ids are not padded on the right.
        """
        self._check_vocabulary()
        self.check_max_length(max_length)
        inputs, own = repeat_last_prompt(inputs)
        return only(own, super().generate(inputs, max_length=max_length, **kwargs))

    def check_max_length(self, max_length: int | None) -> None:
        """Raises `UserError` if a length is given that is above `max_sequence_length`."""
        limit = self.backbone.max_sequence_length
        if max_length is not None and max_length > limit:
            raise UserError(
                f"max_length {max_length} is beyond the model's {limit} tokens; lower it, or load "
                f"the model with max_sequence_length={max_length}."
            )
        if self._speculative_decoding is not None:
            for model in self._speculative_decoding.draft.models:
                model.check_max_length(max_length)

    def score(
        self,
        token_ids: Tensor,
        padding_mask: Tensor | None = None,
        scoring_mode: str = "logits",
        layer_intercept_fn: Callable[[Tensor, int], Tensor] | None = None,
        target_ids: Tensor | None = None,
    ) -> Tensor:
        """Scores given tokens.

        Args:
            token_ids: `[B, T]` integers.
            padding_mask: `[B, T]`, true at real tokens. Defaults to true everywhere.
            scoring_mode: `"logits"` or `"loss"`. Defaults to `"logits"`.
            layer_intercept_fn: Function `fn(x, i)` whose result replaces the embeddings (`i = -1`)
                and the output of block `i`. Defaults to `None`.
            target_ids: `[B, T]` integers, the token that each position should predict. Required if
                `scoring_mode` is `"loss"`.

        Returns:
            Logits, `[B, T, V]`, or losses in nats, `[B, T]`.

        Raises:
            ValueError: The mode is unknown, or it is `"loss"` and there are no targets.
        """
        if scoring_mode not in ("logits", "loss"):
            raise ValueError(
                f"`scoring_mode` must be 'logits' or 'loss'; received {scoring_mode!r}."
            )
        if scoring_mode == "loss" and target_ids is None:
            raise ValueError("`score(scoring_mode='loss')` needs `target_ids`.")
        token_ids = ops.convert_to_tensor(token_ids)
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
