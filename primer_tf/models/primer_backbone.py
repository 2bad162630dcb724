"""The decoder without its head."""

import keras
from keras_hub.models import Backbone

from primer_tf.gin_config.presets import preset_arguments, preset_names
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.layers import DecoderStack
from primer_tf.layers.layer import freeze_sublayers
from primer_tf.models.preset_files import OF_WEIGHTS, check_preset, replace_preset
from primer_tf.sublayers import check_block, make_sublayer

# What Keras' models take besides inputs and outputs.
MODEL_KEYWORDS = ("name", "trainable")


@keras.saving.register_keras_serializable(package="primer_tf")
class PrimerBackbone(Backbone):
    """Decoder-only Transformer body: embedding and decoder stack (Primer, section 4).

    The defaults of the architecture are Primer-EZ. Everything else of the zoo is this class with
    other arguments; the files of `gin/models` say which.

    Args:
        vocabulary_size: Rows of the embedding, `V`.
        num_layers: How often the block is repeated.
        hidden_dim: Channels, `C` (`d_model`).
        intermediate_dim: Width of the feed-forward layers (`d_ff`).
        num_heads: Attention heads, `H`.
        head_dim: Channels of a head, `D` (`d_kv`).
        block: Names of a block's sublayers, in order: "attention", "double_heads_attention" (twice
            the heads at half the size), "synthesizer_attention", "evolved_convolution",
            "feed_forward", "switch_feed_forward" (one expert for each token).
        kernel_size: Width of the convolutions after Q, K and V of "attention"; `None` for none.
        shared_query_key: Whether its queries are projected from the keys (full Primer).
        activation: Name of the feed-forward layers' activation.
        gated: Whether the feed-forward layers are gated.
        normalization: `"layer"`, `"rms"` or `"primer"`.
        placement: Of the normalization: `"pre"`, `"post"` or `"alternating"`.
        dropout: Rate of all dropouts.
        num_buckets: Buckets of the relative position bias.
        max_distance: Distance of its last bucket.
        max_sequence_length: Longest sequence the model is meant for. No weight depends on it:
            `from_preset(..., max_sequence_length=4096)` raises it.
        gradient_checkpointing: Whether gradients recompute each block's activations, which saves
            memory and costs time.
        initializer_scale: Variance times fan in of the initial kernels of feed-forward layers and
            of the projection from keys to queries.
        synthesizer_length: Positions for which "synthesizer_attention" learns scores.
        num_experts: Experts of "switch_feed_forward", and for the same layer, see there:
        capacity_factor: Their capacity in training,
        eval_capacity_factor: and out of training,
        min_expert_capacity: and at least.
        group_size: Tokens that compete for it.
        router_jitter: Noise of the router in training.
        load_balance_loss: Factor of the loss that balances the experts.
        router_z_loss: Factor of the router's z-loss.
        dtype: dtype or policy of the computations and weights.
        **kwargs: `name`, and `trainable`, whether any weight is trained.

    Call arguments:
        inputs: Dict of `"token_ids"`, `[B, T]` integers, and `"padding_mask"`, `[B, T]`, true at
            real tokens.

    Returns:
        `[B, T, C]`.

    Raises:
        ValueError: An unknown argument, a size below 1, an unknown sublayer, activation,
            normalization or placement, an odd `head_dim` to be halved, or `max_sequence_length`
            above `synthesizer_length`.

    Example:

    >>> backbone = PrimerBackbone.from_preset("tiny_primer_ez")
    >>> ones = keras.ops.ones((1, 12), dtype="int32")
    >>> backbone({"token_ids": ones, "padding_mask": ones}).shape
    """

    def __init__(
        self,
        vocabulary_size=32128,
        num_layers=6,
        hidden_dim=512,
        intermediate_dim=2048,
        num_heads=8,
        head_dim=64,
        block=("attention", "feed_forward"),
        kernel_size=3,
        shared_query_key=False,
        activation="squared_relu",
        gated=False,
        normalization="layer",
        placement="pre",
        dropout=0.0,
        num_buckets=32,
        max_distance=128,
        max_sequence_length=512,
        gradient_checkpointing=False,
        initializer_scale=1.0,
        synthesizer_length=512,
        num_experts=32,
        capacity_factor=1.25,
        eval_capacity_factor=2.0,
        min_expert_capacity=4,
        group_size=1024,
        router_jitter=0.01,
        load_balance_loss=0.01,
        router_z_loss=0.0,
        dtype=None,
        **kwargs,
    ):
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
        }
        # Keras swallows what it does not know.
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
        freeze_sublayers(self)  # Keras applied `trainable` before the model had any

    @property
    def arguments(self):
        """The arguments that shape the model, as a dict."""
        return {name: getattr(self, name) for name in self._argument_names}

    def get_config(self):
        """Returns the constructor arguments."""
        return {**super().get_config(), **self.arguments}

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Returns the backbone of a preset.

        Args:
            preset: Name in the zoo (fresh weights: none were published), a directory that
                `save_to_preset` wrote, or a hub handle such as `"hf://user/model"`.
            load_weights: Whether to load the weights of a directory or handle.
            **kwargs: Overrides of constructor arguments.

        Returns:
            A `PrimerBackbone`.

        Raises:
            UserError: The preset is unknown or incomplete.
        """
        check_preset(preset)
        if preset in preset_names():
            return cls(**{**preset_arguments(preset), **kwargs})
        return super().from_preset(str(preset), load_weights=load_weights, **kwargs)

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Saves the backbone in a preset's directory; a tokenizer that lies there stays.

        Args:
            preset_dir: The directory. An older preset in it is replaced in one go, and the state of
                the optimizer that made its weights is removed.
            max_shard_size: Gigabytes of a file of weights, `None` for one file.
        """

        def save(folder):
            super(PrimerBackbone, self).save_to_preset(folder, max_shard_size=max_shard_size)

        replace_preset(preset_dir, save, OF_WEIGHTS)
