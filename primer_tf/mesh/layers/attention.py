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
      context: a `transformer.Context`.
      key_dim: a Dimension, the channels of a head.
      num_heads: an integer.
      share_qk_rep: whether keys are the convolved query projection, and queries a further
        projection of it.
      fold_scaling_into_initializer: whether queries are scaled by their initial values only.
    """

    def __init__(self, context, key_dim, num_heads, share_qk_rep, fold_scaling_into_initializer):
        self._share_qk_rep = share_qk_rep
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
          context: a `transformer.Context`.
          x: a Tensor `[..., length, d_model]`; `[..., d_model]` in "incremental" mode.

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
            return causal_depthwise_conv(projected, context)


@published_name
class MDHA(transformer_layers.SelfAttention):
    """Self-attention whose queries, keys and values are convolved over the sequence.

    Each projection is followed by a causal depthwise convolution; see `causal_depthwise_conv`. In
    incremental decoding the state of a layer is the convolutions' histories, then the keys and
    the values so far.

    The arguments are those of `transformer_layers.SelfAttention`, of which some have one value
    only: they are there for the operative configurations of the code that accompanied the paper.

    Args:
      num_memory_heads: 0: as many heads for keys and values as for queries.
      shared_kv: False.
      attention_func: None.
      combine_dims: True.
      keep_query_heads_dims: False.
      share_qk_rep: whether queries and keys share one representation: `r = dconv(x Wq)`, `k = r`,
        `q = r Wr`, as in full Primer (paper, appendix A.3). No `k` weights then.

    Raises:
      ValueError: if one of the arguments that have one value has another.
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

    def make_params(self, context):
        """Returns the layer's variables."""
        return MDHAParams(
            context,
            self.kv_dim,
            self.num_heads,
            self.share_qk_rep,
            self.fold_scaling_into_initializer,
        )

    # A configurable of its own in the code that accompanied the paper.
    @gin.configurable(module="t5_models.MDHA")
    def call(self, context, x, losses=None):
        """Applies the layer.

        Args:
          context: a `transformer.Context`.
          x: a Tensor `[..., length, d_model]`; `[..., d_model]` in "incremental" mode.
          losses: None.

        Returns:
          A Tensor of the shape of `x`.

        Raises:
          ValueError: if there are `losses`.
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
