"""The decoder without its head."""

from collections.abc import Sequence
from typing import Any

import keras
from keras_hub.models import Backbone

from primer_tf.gin_config.presets import preset_arguments, preset_names
from primer_tf.gin_config.trained_presets import preset_path, trained_presets
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.layers import DecoderStack
from primer_tf.layers.layer import freeze_sublayers
from primer_tf.models.preset_files import OF_WEIGHTS, check_preset, replace_preset
from primer_tf.models.weight_layouts import layout_map
from primer_tf.sublayers import check_block, make_sublayer
from primer_tf.types import Config, DType, StrPath, Tensor

# Arguments of Keras' models besides inputs and outputs.
MODEL_KEYWORDS = ("name", "trainable")


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerBackbone(Backbone):
    """Decoder-only Transformer body: embedding and decoder stack (Primer, section 4).

    The default architecture is Primer-EZ. The other architectures of the model zoo are this class
    with other arguments, which the files in `gin/models` list.

    Args:
        vocabulary_size: Number of rows of the embedding, `V`. Defaults to 32128, T5's.
        num_layers: Number of blocks. Defaults to 6.
        hidden_dim: Number of channels, `C` (`d_model`). Defaults to 512.
        intermediate_dim: Width of the feed-forward layers (`d_ff`). Defaults to 2048.
        num_heads: Number of attention heads, `H`. Defaults to 8.
        head_dim: Channels of a head, `D` (`d_kv`). Defaults to 64.
        block: Names of a block's sublayers, in order. There are `"attention"`,
            `"double_heads_attention"` (twice the heads at half the size),
            `"synthesizer_attention"`, `"evolved_convolution"`, `"feed_forward"`,
            `"switch_feed_forward"` (one of several experts for each token) and `"program"` (a whole
            block that `program` describes). Defaults to `("attention", "feed_forward")`.
        kernel_size: Width of the convolutions after Q, K and V of `"attention"`, or `None` for no
            convolutions. Defaults to 3.
        shared_query_key: Whether the queries of `"attention"` are projected from its keys, as in
            full Primer. Defaults to `False`.
        activation: Name of the activation of the feed-forward layers. Defaults to
            `"squared_relu"`.
        gated: Whether the feed-forward layers are gated. Defaults to `False`.
        normalization: `"layer"`, `"rms"` or `"primer"`. Defaults to `"layer"`.
        placement: Placement of the normalization, `"pre"`, `"post"` or `"alternating"`. Defaults to
            `"pre"`.
        dropout: Rate of every dropout, from 0 to 1. Defaults to 0.
        num_buckets: Number of buckets of the relative position bias. Defaults to 32.
        max_distance: Distance from which on all keys share the last bucket. Defaults to 128.
        max_sequence_length: Longest sequence that the model is meant for. No weight depends on it,
            so `from_preset(..., max_sequence_length=4096)` can raise it. Defaults to 512.
        gradient_checkpointing: Whether gradients recompute the activations of each block, which
            saves memory and costs time. Defaults to `False`.
        initializer_scale: Variance, times the fan in, of the initial kernels of feed-forward layers
            and of the projection from keys to queries. Defaults to 1.
        synthesizer_length: Number of positions for which `"synthesizer_attention"` learns scores.
            Defaults to 512.
        num_experts: Number of experts of `"switch_feed_forward"`. Defaults to 32.
        capacity_factor: Capacity of an expert in training, relative to an equal share of the
            tokens. Defaults to 1.25.
        eval_capacity_factor: Capacity of an expert outside training, relative to an equal share of
            the tokens. Defaults to 2.
        min_expert_capacity: Least capacity of an expert, in tokens of a group. Defaults to 4.
        group_size: Number of tokens that compete for the experts. Defaults to 1024.
        router_jitter: Half the width of the noise that multiplies the router's inputs in training.
            Defaults to 0.01.
        load_balance_loss: Factor of the loss that balances the experts. Defaults to 0.01.
        router_z_loss: Factor of the router's z-loss. Defaults to 0.
        program: What `"program"` runs, a `primer_tf.programs.Program` as JSON text. Defaults to
            `None`.
        dtype: Dtype or dtype policy of the computations and weights. Defaults to Keras' global
            policy.
        **kwargs: `name`, and `trainable`, whether any weight is trained.

    Call arguments:
        inputs: Dict of `"token_ids"`, `[B, T]` integers, and `"padding_mask"`, `[B, T]`, true at
            real tokens.

    Returns:
        `[B, T, C]`.

    Raises:
        ValueError: An argument is unknown, a size is below 1, a sublayer, activation, normalization
            or placement is unknown, `head_dim` is odd where it must be halved, or
            `max_sequence_length` is above `synthesizer_length`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.models import PrimerBackbone
    >>> backbone = PrimerBackbone.from_preset("tiny_primer_ez", num_layers=1)
    >>> ones = np.ones((1, 12), "int32")
    >>> tuple(backbone({"token_ids": ones, "padding_mask": ones}).shape)
    (1, 12, 128)
    """

    presets = trained_presets()  # What KerasHub lists.

    def __init__(
        self,
        vocabulary_size: int = 32128,
        num_layers: int = 6,
        hidden_dim: int = 512,
        intermediate_dim: int = 2048,
        num_heads: int = 8,
        head_dim: int = 64,
        block: Sequence[str] = ("attention", "feed_forward"),
        kernel_size: int | None = 3,
        shared_query_key: bool = False,
        activation: str = "squared_relu",
        gated: bool = False,
        normalization: str = "layer",
        placement: str = "pre",
        dropout: float = 0.0,
        num_buckets: int = 32,
        max_distance: int = 128,
        max_sequence_length: int = 512,
        gradient_checkpointing: bool = False,
        initializer_scale: float = 1.0,
        synthesizer_length: int = 512,
        num_experts: int = 32,
        capacity_factor: float = 1.25,
        eval_capacity_factor: float = 2.0,
        min_expert_capacity: int = 4,
        group_size: int = 1024,
        router_jitter: float = 0.01,
        load_balance_loss: float = 0.01,
        router_z_loss: float = 0.0,
        program: str | None = None,
        dtype: DType | None = None,
        **kwargs: Any,
    ) -> None:
        arguments = {
            "vocabulary_size": vocabulary_size,
            "num_layers": num_layers,
            "hidden_dim": hidden_dim,
            "intermediate_dim": intermediate_dim,
            "num_heads": num_heads,
            "head_dim": head_dim,
            "block": list(block),
            "kernel_size": kernel_size,
            "shared_query_key": shared_query_key,
            "activation": activation,
            "gated": gated,
            "normalization": normalization,
            "placement": placement,
            "dropout": dropout,
            "num_buckets": num_buckets,
            "max_distance": max_distance,
            "max_sequence_length": max_sequence_length,
            "gradient_checkpointing": gradient_checkpointing,
            "initializer_scale": initializer_scale,
            "synthesizer_length": synthesizer_length,
            "num_experts": num_experts,
            "capacity_factor": capacity_factor,
            "eval_capacity_factor": eval_capacity_factor,
            "min_expert_capacity": min_expert_capacity,
            "group_size": group_size,
            "router_jitter": router_jitter,
            "load_balance_loss": load_balance_loss,
            "router_z_loss": router_z_loss,
            "program": program,
        }
        # Keras ignores arguments that it does not know.
        known = (*parameter_names(type(self), PrimerBackbone), *MODEL_KEYWORDS)
        check_keywords(type(self).__name__, kwargs, known)
        check_block(arguments)
        token_embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            tie_weights=True,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0),
            dtype=dtype,
            name="token_embedding",
        )
        embedding_dropout = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")
        decoder = DecoderStack(
            [make_sublayer(name, arguments) for name in block],
            num_blocks=num_layers,
            normalization=normalization,
            placement=placement,
            dropout=dropout,
            num_buckets=num_buckets,
            max_distance=max_distance,
            gradient_checkpointing=gradient_checkpointing,
            dtype=dtype,
            name="decoder",
        )
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
        x = embedding_dropout(token_embedding(token_ids))
        x = decoder(x, padding_mask=padding_mask)
        super().__init__(
            inputs={"token_ids": token_ids, "padding_mask": padding_mask},
            outputs=x,
            dtype=dtype,
            **kwargs,
        )
        for key, value in arguments.items():
            setattr(self, key, value)
        self._argument_names = tuple(arguments)
        self.token_embedding = token_embedding
        self.embedding_dropout = embedding_dropout
        self.decoder = decoder
        self.transformer_layers = decoder.blocks
        freeze_sublayers(self)  # Keras applied `trainable` before the model had any sublayers.

    def hidden_states(self, token_ids: Tensor, training: bool | None = None) -> Tensor:
        """Returns what a call returns if all tokens are real, without computing any masks.

        Args:
            token_ids: `[B, T]` integers.
            training: Whether dropout is applied. Defaults to `None`, as in a call.

        Returns:
            `[B, T, C]`.
        """
        x = self.embedding_dropout(self.token_embedding(token_ids), training=training)
        return self.decoder(x, training=training)

    @property
    def arguments(self) -> Config:
        """The constructor arguments that define the architecture, by name."""
        return {name: getattr(self, name) for name in self._argument_names}

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), **self.arguments}

    @classmethod
    def from_preset(
        cls, preset: StrPath, load_weights: bool = True, **kwargs: Any
    ) -> "PrimerBackbone":
        """Returns the backbone of a preset.

        Args:
            preset: Name in the model zoo, name of a trained preset (`PrimerBackbone.presets`), a
                directory that `save_to_preset` wrote, or a hub handle such as
                `"hf://user/model"`. Models of the zoo start with random weights, because none were
                published.
            load_weights: Whether to load the weights of a directory or handle. Defaults to `True`.
            **kwargs: Constructor arguments, in place of those of the preset.

        Returns:
            A `PrimerBackbone`.

        Raises:
            UserError: The preset is unknown or incomplete.
        """
        preset = preset_path(preset)
        check_preset(preset)
        if preset in preset_names():
            return cls(**{**preset_arguments(preset), **kwargs})
        return super().from_preset(str(preset), load_weights=load_weights, **kwargs)

    @staticmethod
    def get_layout_map(
        device_mesh: keras.distribution.DeviceMesh,
        model_parallel_dim_name: str | None = "model",
        data_parallel_dim_name: str | None = "batch",
    ) -> keras.distribution.LayoutMap:
        """Returns how the weights are split over devices, for all architectures.

        The interface is that of KerasHub's backbones. Every mesh axis must divide the axes of the
        weights that it splits, and the model axis also the number of heads.

        Args:
            device_mesh: The mesh of devices.
            model_parallel_dim_name: Name of the mesh axis that splits heads, hidden channels of
                feed-forward layers, experts and rows of the embedding, or `None` to split none of
                them. Defaults to `"model"`.
            data_parallel_dim_name: Name of the mesh axis that splits the other axis of all
                matrices, or `None` to split none. It is usually the axis of the batch, which makes
                training fully sharded. Defaults to `"batch"`.

        Returns:
            A `keras.distribution.LayoutMap`.

        Raises:
            ValueError: The mesh does not have the axis.

        Example:

        >>> import keras
        >>> from primer_tf.models import PrimerBackbone
        >>> devices = [f"cpu:{index}" for index in range(8)]
        >>> mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"], devices)
        >>> layouts = PrimerBackbone.get_layout_map(mesh)
        >>> layouts["token_embedding/embeddings"].axes
        ('model', 'batch')
        """
        return layout_map(device_mesh, model_parallel_dim_name, data_parallel_dim_name)

    def save_to_preset(self, preset_dir: StrPath, max_shard_size: float | None = 10) -> None:
        """Saves the backbone in a preset's directory, and leaves a tokenizer there as it is.

        Args:
            preset_dir: The directory. A backbone in it is replaced in one step, and the state of
                its optimizer is removed.
            max_shard_size: Largest size of a file of weights in gigabytes, or `None` for a single
                file. Defaults to 10.
        """

        def save(folder: str) -> None:
            super(PrimerBackbone, self).save_to_preset(folder, max_shard_size=max_shard_size)

        replace_preset(preset_dir, save, OF_WEIGHTS)
