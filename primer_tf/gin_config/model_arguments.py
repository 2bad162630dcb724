"""What gin bindings say about a model, as the arguments of a `PrimerBackbone`.

The Keras model is one decoder with the arguments of `PrimerBackbone`; Mesh TensorFlow composes its
decoders of configurable parts. Each part of the gin file's decoder is translated here, and whatever
has no counterpart is an error that names the binding.
"""

from primer_tf.errors import UserError
from primer_tf.gin_config import configurables as known
from primer_tf.gin_config.gin_reader import Reference, shown

# The layers of a block: their name in `PrimerBackbone`, and its argument for each of theirs.
_ATTENTION = {
    "num_heads": "num_heads",
    "key_value_size": "head_dim",
    "dropout_rate": "dropout",
    "relative_attention_num_buckets": "num_buckets",
}
LAYERS = {
    known.SELF_ATTENTION: ("attention", _ATTENTION),
    known.MDHA: ("attention", {**_ATTENTION, "share_qk_rep": "shared_query_key"}),
    known.DOUBLE_HEADS_ATTENTION: (
        "double_heads_attention",
        {"base_num_heads": "num_heads", "key_value_size": "head_dim", "dropout_rate": "dropout"},
    ),
    known.SYNTHESIZER: ("synthesizer_attention", _ATTENTION),
    known.RANDOM_SYNTHESIZER: (
        "synthesizer_attention",
        {**_ATTENTION, "max_length": "synthesizer_length"},
    ),
    known.EVOLVED_CONVOLUTION: (
        "evolved_convolution",
        {"d_model": "hidden_dim", "dropout_rate": "dropout"},
    ),
    known.DENSE_RELU_DENSE: (
        "feed_forward",
        {"hidden_size": "intermediate_dim", "dropout_rate": "dropout"},
    ),
    known.MIXTURE_OF_EXPERTS: (
        "switch_feed_forward",
        {
            "num_experts": "num_experts",
            "hidden_size": "intermediate_dim",
            "dropout_rate": "dropout",
            "capacity_factor_train": "capacity_factor",
            "capacity_factor_eval": "eval_capacity_factor",
            "min_expert_capacity": "min_expert_capacity",
            "group_size": "group_size",
            "loss_coef": "load_balance_loss",
        },
    ),
}

NORMALIZATIONS = {known.LAYER_NORM: "layer", known.RMS_NORM: "rms", known.PRIMER_NORM: "primer"}

# Mesh TensorFlow's activations, by their names in Keras.
ACTIVATIONS = {
    "relu": "relu",
    "squared_relu": "squared_relu",
    "gelu": "gelu_tanh",
    "swish": "swish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "linear": "linear",
    "elu": "elu",
    "selu": "selu",
    "softplus": "softplus",
    "exp": "exponential",
    **{f"{known.ACTIVATIONS}.{name}": name for name in known.ELEMENTWISE},
}

# Mesh TensorFlow's Synthesizer has learned scores for as many positions.
SYNTHESIZER_LENGTH = 512

# T5 adds this many pieces to every vocabulary, and Mesh TensorFlow pads the embedding's rows to a
# multiple (`Unitransformer.vocab_divisor`).
SENTINELS = 100
VOCABULARY_DIVISOR = 128


def padded_vocabulary_size(size, divisor=VOCABULARY_DIVISOR):
    """Returns the rows of the embedding for a vocabulary of `size` pieces and sentinels."""
    return -(-size // divisor) * divisor


def backbone_arguments(bindings):
    """Returns the arguments of the `PrimerBackbone` that gin files describe.

    Args:
        bindings: `ResolvedBindings`.

    Returns:
        Dict of arguments; those that are not in it are at their defaults. The number of rows of
        the embedding comes from the macro `vocabulary_size`, where there is one.

    Raises:
        UserError: A binding that the Keras model cannot honour.
    """
    reader = _Reader(bindings)
    reader.read_vocabulary()
    reader.read_decoder()
    reader.read_layers()
    reader.read_sublayers()
    return reader.arguments


def loss_arguments(bindings):
    """Returns the arguments of the `NextTokenLoss` that gin files describe."""
    names = ("z_loss", "label_smoothing")
    return {name: bindings.value(known.UNITRANSFORMER, name) for name in names}


class _Reader:
    """Collects arguments, each with the place it comes from."""

    def __init__(self, bindings):
        self.bindings = bindings
        self.arguments = {}
        self._origins = {}

    def set(self, argument, value, origin):
        """Sets an argument, which several bindings may do only if they agree."""
        if self.arguments.setdefault(argument, value) != value:
            raise UserError(
                f"{origin} is {value!r}, but {self._origins[argument]} is "
                f"{self.arguments[argument]!r}; the Keras model has one {argument}."
            )
        self._origins.setdefault(argument, origin)

    def take(self, name, argument, target):
        """Sets an argument of the backbone to that of a configurable."""
        value = self.bindings.value(name, argument)
        origin = self.bindings.where(name, argument)
        if value is None:
            raise UserError(f"{origin} has no value; bind it.")
        self.set(target, value, origin)

    def read_vocabulary(self):
        size = self.bindings.macro("vocabulary_size")
        if size is not None:
            if not isinstance(size, int):
                raise UserError(f"The macro vocabulary_size is {shown(size)}, not an integer.")
            divisor = self.bindings.value(known.UNITRANSFORMER, "vocab_divisor")
            rows = padded_vocabulary_size(size, divisor)
            self.set("vocabulary_size", rows, "the macro vocabulary_size")

    def read_decoder(self):
        self.bindings.value(known.RUN, "model_type")
        lengths = self.bindings.value(known.RUN, "sequence_length")
        origin = self.bindings.where(known.RUN, "sequence_length")
        self.set("max_sequence_length", lengths["targets"], origin)
        for name in (known.UNITRANSFORMER, known.VOCAB_EMBEDDING, known.INITIALIZER):
            self.bindings.check(name)
        self.take(known.INITIALIZER, "scale", "initializer_scale")
        self.take(known.UNITRANSFORMER, "d_model", "hidden_dim")
        self.bindings.check(known.MAKE_LAYER_STACK)
        self.take(known.MAKE_LAYER_STACK, "num_layers", "num_layers")

    def read_layers(self):
        layers = self.bindings.value(known.MAKE_LAYER_STACK, "layers")
        where = self.bindings.where(known.MAKE_LAYER_STACK, "layers")
        for layer in layers:
            if not isinstance(layer, Reference) or layer.name not in LAYERS:
                names = ", ".join(name.split(".")[-1] for name in LAYERS)
                raise UserError(f"{where}: no Keras layer stands for {layer}; there are {names}.")
        names = [layer.name for layer in layers]
        self.set("block", [LAYERS[name][0] for name in names], where)
        if any("attention" in sublayer for sublayer in self.arguments["block"]):
            self.take(known.POSITION_BUCKET, "max_distance", "max_distance")
        for name in dict.fromkeys(names):
            self.bindings.check(name)
            for argument, target in LAYERS[name][1].items():
                self.take(name, argument, target)
            special = getattr(self, f"_read_{name.split('.')[-1]}", None)
            if special:
                special(name)

    def _read_SelfAttention(self, name):
        where = self.bindings.where(known.MAKE_LAYER_STACK, "layers")
        self.set("kernel_size", None, f"{where} has SelfAttention, whose kernel_size")
        self.set("shared_query_key", False, f"{where} has SelfAttention, whose share_qk_rep")

    def _read_MDHA(self, name):
        self.bindings.check(known.MDHA_CALL)
        kernel_size = self.bindings.value(known.CAUSAL_DEPTHWISE_CONV, "kernel_size")
        origin = self.bindings.where(known.CAUSAL_DEPTHWISE_CONV, "kernel_size")
        if kernel_size is None and not self.arguments["shared_query_key"]:
            raise UserError(f"{origin} is None; MDHA without convolutions is SelfAttention.")
        self.set("kernel_size", kernel_size, origin)

    def _read_Synthesizer(self, name):
        where = self.bindings.where(known.MAKE_LAYER_STACK, "layers")
        origin = f"{where} has Synthesizer, whose number of positions"
        self.set("synthesizer_length", SYNTHESIZER_LENGTH, origin)

    def _read_DoubleHeadsAttentionLayer(self, name):
        # It is a SelfAttention in all but its heads.
        own = ("num_heads", "key_value_size", "dropout_rate")
        self.bindings.check(known.SELF_ATTENTION, leave_out=own)
        buckets = "relative_attention_num_buckets"
        self.take(known.SELF_ATTENTION, buckets, _ATTENTION[buckets])

    def _read_MoE1D(self, name):
        self._read_activation(name)
        # Out of training there is no jitter, whatever the policy.
        jitters = self.bindings.value(name, "switch_policy_train") == "input_jitter"
        jitter = self.bindings.value(name, "switch_jitter") if jitters else 0.0
        self.set("router_jitter", jitter, self.bindings.where(name, "switch_jitter"))
        # Mesh TensorFlow multiplies the sum of both losses by the factor of the first.
        z_loss = (self.bindings.value(name, "z_loss") or 0.0) * self.bindings.value(
            name, "loss_coef"
        )
        self.set("router_z_loss", z_loss, self.bindings.where(name, "z_loss"))

    def _read_DenseReluDense(self, name):
        self._read_activation(name)

    def _read_activation(self, name):
        origin = self.bindings.where(name, "activation")
        names = self.bindings.value(name, "activation")
        names = names if isinstance(names, list | tuple) else [names]
        names = [name.name if isinstance(name, Reference) else name for name in names]
        gated = len(names) == 2 and names[1] == "linear"
        if (len(names) != 1 and not gated) or names[0] not in ACTIVATIONS:
            raise UserError(
                f"{origin}: the Keras model cannot honour {names!r}; it has the activations "
                f'{", ".join(ACTIVATIONS)}, each alone or gated, as ["swish", "linear"].'
            )
        self.set("activation", ACTIVATIONS[names[0]], origin)
        self.set("gated", gated, origin)

    def read_sublayers(self):
        stack = self.bindings.value(known.MAKE_LAYER_STACK, "layer_stack_cls").name
        where = self.bindings.where(known.MAKE_LAYER_STACK, "layer_stack_cls")
        if stack not in (known.LAYER_STACK, known.PRE_POST_NORM_LAYER_STACK):
            raise UserError(f"{where}: the Keras model cannot honour @{stack}.")
        # A subclass has the bindings of its base, but for those that are bound for it alone.
        own = known.PRE_POST_NORM_LAYER_STACK

        def bound(argument):
            is_own = stack == own and self.bindings.is_bound(own, argument)
            return own if is_own else known.LAYER_STACK

        for argument in ("dropout_rate", "norm_epsilon"):
            self.bindings.value(bound(argument), argument)
        self.take(bound("recompute_grads"), "recompute_grads", "gradient_checkpointing")

        lists = {}
        for part in ("sublayers_initial", "sublayers_per_layer", "sublayers_final"):
            references = self.bindings.value(bound(part), part)
            lists[part] = [sublayer.name for sublayer in references]
            origin = self.bindings.where(bound(part), part)
            self._read_sublayer_list(part, lists[part], origin)
        placement = self.arguments["placement"]
        if stack == own:
            if placement != "pre":
                raise UserError(f"{where}: PrePostNormLayerStack needs the normalization first.")
            self.arguments["placement"] = "alternating"

    def _read_sublayer_list(self, part, names, origin):
        """Reads normalization, its placement and dropout out of a list of sublayers."""
        # Padding is masked inside the layers that could see it.
        steps = [name for name in names if name != known.MASK_PADDING]
        dropout = known.DROPOUT in steps
        if dropout:
            steps.remove(known.DROPOUT)
        rate = self.bindings.value(known.DROPOUT, "dropout_rate") if dropout else 0.0
        norms = [name for name in steps if name in NORMALIZATIONS]
        shapes = {
            "sublayers_initial": {(): None},
            "sublayers_per_layer": {
                ("norm", known.CALL_LAYER, known.RESIDUAL): "pre",
                (known.CALL_LAYER, "norm", known.RESIDUAL): "post",
            },
            "sublayers_final": {("norm",): None},
        }[part]
        shape = tuple("norm" if name in NORMALIZATIONS else name for name in steps)
        if shape not in shapes:
            readable = ", ".join(name.split(".")[-1] for name in names)
            raise UserError(f"{origin}: the Keras model cannot honour the sublayers {readable}.")
        for name in norms:
            self.bindings.check(name)
            self.set("normalization", NORMALIZATIONS[name], origin)
        if shapes[shape]:
            self.set("placement", shapes[shape], origin)
        self.set(
            "dropout",
            rate,
            origin if not dropout else self.bindings.where(known.DROPOUT, "dropout_rate"),
        )
