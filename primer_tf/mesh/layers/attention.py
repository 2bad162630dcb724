"""Multi-DConv-Head Attention (paper, section 4)."""

import gin
import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import attention, transformer_layers

from primer_tf.mesh.layers.convolution import causal_depthwise_conv
from primer_tf.mesh.layers.published_name import published_name


class MDHAParams(attention.AttentionParams):
    """The projections of Multi-DConv-Head Attention, each followed by a depthwise convolution.

    Args:
      context: A `transformer.Context`.
      key_dim: The Dimension of a head's channels.
      num_heads: The number of heads.
      share_qk_rep: Whether the convolved query projection also serves as the keys, and the queries
        are a further projection of it.
      fold_scaling_into_initializer: Whether only the initial values scale the queries.
      kernel_size: The `kernel_size` of the convolutions, or None for the one that
        `causal_depthwise_conv` has from its gin binding or by default.
    """

    def __init__(
        self, context, key_dim, num_heads, share_qk_rep, fold_scaling_into_initializer, kernel_size
    ):
        self._share_qk_rep = share_qk_rep
        # An argument that is passed hides its gin binding.
        self._convolution = {} if kernel_size is None else {"kernel_size": kernel_size}
        heads = [mtf.Dimension("heads", num_heads)]
        super().__init__(
            context.mesh,
            query_input_dim=context.model.model_dim,
            memory_input_dim=context.model.model_dim,
            output_dim=context.model.model_dim,
            key_dim=key_dim,
            value_dim=key_dim,
            query_heads_dims=heads,
            memory_heads_dims=heads,
            variable_dtype=context.variable_dtype,
            ensemble_dim=context.model.ensemble_dim,
            fold_scaling_into_initializer=fold_scaling_into_initializer,
        )

    def init_weights(self):
        """Makes the variables `q`, `k` (unless shared), `v` and `o`, with T5's initial values."""
        if not self._share_qk_rep:
            super().init_weights()
            return
        d_model, d_kv = self.query_input_dim.size, self.key_dim.size
        scale = d_kv**-0.5 if self.fold_scaling_into_initializer else 1.0
        self.wq = self._weight("q", self.q_shape, d_model**-0.5 * scale)
        self.wv = self._weight("v", self.v_shape, d_model**-0.5)
        self.wo = self._weight("o", self.o_shape, mtf.Shape(self.o_dims).size ** -0.5)

    def _weight(self, name, shape, stddev):
        return mtf.get_variable(
            self.mesh,
            name,
            shape,
            initializer=tf.random_normal_initializer(stddev=stddev),
            dtype=self.variable_dtype,
        )

    def project(self, context, x):
        """Computes queries, keys and values.

        Args:
          context: A `transformer.Context`.
          x: A Tensor `[..., length, d_model]`; `[..., d_model]` in "incremental" mode.

        Returns:
          Three Tensors `[..., length, heads, d_kv]`, without `length` in "incremental" mode.
        """
        if self._share_qk_rep:
            k = self._convolved(context, x, self.wq, "qk_dconv")
            q = mtf.layers.dense(
                k,
                reduced_dims=k.shape.dims[-1:],
                new_dims=k.shape.dims[-1:],
                use_bias=False,
                variable_dtype=context.variable_dtype,
                name="q_solo_project",
                expert_dims=context.model.ensemble_dims,
            )
        else:
            q = self._convolved(context, x, self.wq, "q_dconv")
            k = self._convolved(context, x, self.wk, "k_dconv")
        v = self._convolved(context, x, self.wv, "v_dconv")
        if not self.fold_scaling_into_initializer:
            q *= self.key_dim.size**-0.5
        split = [(q, self.q_dims), (k, self.k_dims), (v, self.v_dims)]
        return [mtf.replace_dimensions(t, t.shape.dims[-1], dims) for t, dims in split]

    def _convolved(self, context, x, weight, scope):
        projected = mtf.layers.us_einsum([x, weight], reduced_dims=[self.query_input_dim])
        with tf.variable_scope(scope):
            return causal_depthwise_conv(projected, context, **self._convolution)


@published_name
class MDHA(transformer_layers.SelfAttention):
    """Self-attention whose queries, keys and values are convolved over the sequence.

    Each projection is followed by a causal depthwise convolution; see `causal_depthwise_conv`. In
    incremental decoding, the layer's state consists of the inputs of the convolutions, followed by
    the keys and values of all earlier positions.

    The arguments are those of `transformer_layers.SelfAttention`. Some of them accept one value
    only; they exist because the operative configurations of the published runs contain them.

    Args:
      num_memory_heads: Must be 0: keys and values have as many heads as queries.
      shared_kv: Must be False.
      attention_func: Must be None.
      combine_dims: Must be True.
      keep_query_heads_dims: Must be False.
      share_qk_rep: Whether queries and keys share one representation: `r = dconv(x Wq)`, `k = r`,
        `q = r Wr`, as in full Primer (paper, appendix A.3). The layer then has no weights `k`.
      kernel_size: The number of positions in the kernels of the convolutions. None takes that of
        `causal_depthwise_conv`, 3 unless gin binds it.

    Raises:
      ValueError: If an argument that accepts one value only has another.
    """

    def __init__(
        self,
        num_heads=8,
        num_memory_heads=0,
        key_value_size=128,
        shared_kv=False,
        dropout_rate=0.0,
        attention_kwargs=None,
        relative_attention_type=None,
        relative_attention_num_buckets=32,
        attention_func=None,
        combine_dims=True,
        keep_query_heads_dims=False,
        fold_scaling_into_initializer=True,
        z_loss_coeff=None,
        share_qk_rep=False,
        kernel_size=None,
    ):
        _only("num_memory_heads", num_memory_heads, 0)
        _only("shared_kv", shared_kv, False)
        _only("attention_func", attention_func, None)
        _only("combine_dims", combine_dims, True)
        _only("keep_query_heads_dims", keep_query_heads_dims, False)
        super().__init__(
            num_heads=num_heads,
            key_value_size=key_value_size,
            dropout_rate=dropout_rate,
            attention_kwargs=attention_kwargs,
            relative_attention_type=relative_attention_type,
            relative_attention_num_buckets=relative_attention_num_buckets,
            fold_scaling_into_initializer=fold_scaling_into_initializer,
            z_loss_coeff=z_loss_coeff,
        )
        self.share_qk_rep = share_qk_rep
        self.kernel_size = kernel_size

    def make_params(self, context):
        """Returns the layer's variables."""
        return MDHAParams(
            context,
            self.kv_dim,
            self.num_heads,
            self.share_qk_rep,
            self.fold_scaling_into_initializer,
            self.kernel_size,
        )

    # The code that accompanied the paper makes this a separate configurable.
    @gin.configurable(module="t5_models.MDHA")
    def call(self, context, x, losses=None):
        """Applies the layer.

        Args:
          context: A `transformer.Context`.
          x: A Tensor `[..., length, d_model]`; `[..., d_model]` in "incremental" mode.
          losses: Must be None.

        Returns:
          A Tensor of the shape of `x`.

        Raises:
          ValueError: If `losses` is not None.
        """
        _only("call.losses", losses, None)
        params = self.make_params(context)
        memory_length = self.memory_length(context)
        q, k, v = params.project(context, x)
        if context.mode == "incremental":
            here = mtf.one_hot(context.position, memory_length, dtype=context.activation_dtype)
            old_k, old_v = context.get_states(2)
            k = old_k * (1.0 - here) + k * here
            v = old_v * (1.0 - here) + v * here
            memory_position = mtf.range(context.mesh, memory_length, tf.int32)
        else:
            k, v, memory_position = (
                self.rename_length_to_memory_length(t, context) for t in (k, v, context.position)
            )
        if context.mode in ("incremental", "first_part"):
            context.record_new_states([k, v])
        o = self.attention_fn(
            q,
            k,
            v,
            context=context,
            memory_length_dim=memory_length,
            key_dim=self.kv_dim,
            value_dim=self.kv_dim,
            bias=self.compute_bias(context, memory_position, x, params.query_heads_dims, q),
            z_loss_coeff=self.z_loss_coeff,
            **self.attention_kwargs_from_context(context),
        )
        return params.compute_output(o, output_shape=x.shape)


def _only(argument, value, allowed):
    if value != allowed:
        raise ValueError(f"MDHA.{argument} must be {allowed!r}, got {value!r}.")
