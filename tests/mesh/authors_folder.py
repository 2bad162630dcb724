"""A miniature of the folder in which the paper's authors published their T5 experiments.

It has the same names and structure, but none of the contents: three modules and a folder `gin`. The
gin files include each other by names like `models/defaults.gin`, include T5's own files, bind
arguments that Mesh TensorFlow's language models ignore, and keep the default dtype of the masters.
"""

from pathlib import Path

TASK = "lm1b_autoregressive_language_modeling"
MODEL = "small_primer"

FILES = {
    "t5_imports.py": "import t5_models\nimport t5_tasks\n",
    "t5_tasks.py": """
import functools

import t5.data
from t5.data import preprocessors
from t5.evaluation import metrics

VOCABULARY = t5.data.get_default_vocabulary()

for name, data, text_key in (
    ("lm1b", "lm1b:1.1.0", "text"),
    ("c4_v220", "c4/en:3.0.1", "text"),
    ("pg19", "pg19:0.1.1", "book_text"),
):
    t5.data.TaskRegistry.add(
        f"{name}_autoregressive_language_modeling",
        t5.data.TfdsTask,
        tfds_name=data,
        text_preprocessor=functools.partial(preprocessors.rekey, key_map={"targets": text_key}),
        token_preprocessor=preprocessors.unsupervised,
        output_features={
            "inputs": t5.data.Feature(VOCABULARY, add_eos=True, required=False),
            "targets": t5.data.Feature(VOCABULARY, add_eos=True),
        },
        splits={"train": "train[:98%]", "validation": "train[98%:]"} if name == "lm1b" else None,
        metric_fns=[metrics.accuracy],
    )
""",
    "t5_models.py": """
import gin
import mesh_tensorflow as mtf
import tensorflow.compat.v1 as tf
from mesh_tensorflow.transformer import transformer, transformer_layers


@gin.configurable
def causal_depthwise_conv(x, context, kernel_size=3):
    total = 0
    for distance in range(kernel_size):
        value = 0.5 if distance == 0 else 0.5 / kernel_size
        total += mtf.get_variable(
            context.mesh,
            f"conv_{distance}",
            mtf.Shape([x.shape.dims[-1]]),
            initializer=tf.constant_initializer(value),
            dtype=context.variable_dtype,
        ) * mtf.shift(x, distance, context.length_dim, wrap=False)
    return total


@gin.configurable
def sublayer_prime_norm(x, layer_stack, context, epsilon=1e-6, name="primer_norm"):
    dim = context.model.model_dim
    with tf.variable_scope(name + "/layer_prepostprocess/primer_norm"):
        scale, bias = (
            mtf.get_variable(
                x.mesh,
                f"primer_norm_{part}",
                mtf.Shape([dim]),
                initializer=tf.constant_initializer(value),
                activation_dtype=x.dtype,
            )
            for part, value in (("scale", 1.0), ("bias", 0.0))
        )
    z = x - mtf.reduce_mean(x, reduced_dim=dim)
    return z * mtf.rsqrt(mtf.reduce_mean(x * z, reduced_dim=dim) + epsilon) * scale + bias


@gin.configurable
class PrePostNormLayerStack(transformer.LayerStack):
    pass


@gin.configurable
class MDHA(transformer_layers.SelfAttention):
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
        super().__init__(
            num_heads=num_heads,
            num_memory_heads=num_memory_heads,
            key_value_size=key_value_size,
            shared_kv=shared_kv,
            dropout_rate=dropout_rate,
            attention_kwargs=attention_kwargs,
            relative_attention_type=relative_attention_type,
            relative_attention_num_buckets=relative_attention_num_buckets,
            attention_func=attention_func,
            combine_dims=combine_dims,
            keep_query_heads_dims=keep_query_heads_dims,
            fold_scaling_into_initializer=fold_scaling_into_initializer,
            z_loss_coeff=z_loss_coeff,
        )
        self.share_qk_rep = share_qk_rep

    @gin.configurable
    def call(self, context, x, losses=None):
        d_model, d_kv = context.model.model_dim, self.kv_dim
        heads = mtf.Dimension("heads", self.num_heads)
        combined = mtf.Dimension("heads", self.num_heads * d_kv.size)

        def variable(name, dims, stddev):
            return mtf.get_variable(
                context.mesh,
                name,
                mtf.Shape(dims),
                initializer=tf.random_normal_initializer(stddev=stddev),
                dtype=context.variable_dtype,
            )

        def projected(name, scope, stddev):
            weight = variable(name, [d_model, combined], stddev)
            y = mtf.einsum([x, weight], reduced_dims=[d_model])
            with tf.variable_scope(scope):
                return causal_depthwise_conv(y, context)

        k = projected("q", "qk_dconv", (d_model.size * d_kv.size) ** -0.5)
        q = mtf.layers.dense(
            k,
            [combined],
            use_bias=False,
            reduced_dims=[combined],
            variable_dtype=context.variable_dtype,
            name="q_solo_project",
        )
        v = projected("v", "v_dconv", d_model.size**-0.5)
        q, k, v = (mtf.replace_dimensions(t, combined, [heads, d_kv]) for t in (q, k, v))
        memory_length = self.memory_length(context)
        k, v, position = (
            self.rename_length_to_memory_length(t, context) for t in (k, v, context.position)
        )
        bias = self.compute_bias(context, position, x, [heads], q)
        o = self.attention_fn(
            q,
            k,
            v,
            context=context,
            memory_length_dim=memory_length,
            key_dim=d_kv,
            value_dim=d_kv,
            bias=bias,
            **self.attention_kwargs_from_context(context),
        )
        o = mtf.replace_dimensions(o, [heads, d_kv], combined)
        weight = variable("o", [combined, d_model], combined.size**-0.5)
        return mtf.einsum([o, weight], reduced_dims=[combined])
""",
    "gin/models/defaults.gin": """
import mesh_tensorflow.optimize
import mesh_tensorflow.transformer.learning_rate_schedules
import mesh_tensorflow.transformer.transformer
import mesh_tensorflow.transformer.transformer_layers
import t5_models

transformer.make_layer_stack.num_layers = %num_layers
transformer.LayerStack.sublayers_initial = [@transformer.sublayer_dropout]
LayerStack.dropout_rate = None
LayerStack.norm_epsilon = None
PrePostNormLayerStack.dropout_rate = None
PrePostNormLayerStack.norm_epsilon = None

Unitransformer.d_model = %d_model
Unitransformer.max_length = 512
transformer.Unitransformer.positional_embedding = False
Unitransformer.shared_embedding_and_softmax_weights = True
decoder/Unitransformer.label_smoothing = 0.0
DenseReluDense.hidden_size = %d_ff
DenseReluDense.use_bias = True
SelfAttention.num_heads = %num_heads
SelfAttention.key_value_size = %d_kv
transformer_layers.SelfAttention.relative_attention_type = "bias_shared"
MDHA.num_heads = %num_heads
MDHA.key_value_size = %d_kv
t5_models.MDHA.relative_attention_type = "bias_shared"

dropout_rate = 0.0
DenseReluDense.dropout_rate = %dropout_rate
SelfAttention.dropout_rate = %dropout_rate
MDHA.dropout_rate = %dropout_rate
transformer.sublayer_dropout.dropout_rate = %dropout_rate

utils.run.sequence_length = {"inputs": 1, "targets": 512}
utils.run.optimizer = @optimize.AdafactorOptimizer
utils.run.layout_rules = "ensemble:ensemble,batch:batch,d_ff:model,heads:model,vocab:model"
utils.run.learning_rate_schedule = @learning_rate_schedules.learning_rate_schedule_noam
utils.run.mesh_shape = @mesh_tensorflow.transformer.utils.tpu_mesh_shape()
utils.tpu_mesh_shape.model_parallelism = 1
utils.serialize_num_microbatches.tokens_per_microbatch_per_replica = 2048
utils.get_variable_dtype.activation_dtype = "bfloat16"
""",
    "gin/models/small_defaults.gin": """
d_model = 16
num_layers = 2
d_ff = 32
num_heads = 2
d_kv = 8
""",
    "gin/models/medium_primer.gin": """
include 'models/t5.1.0.base.gin'

import t5_models

DenseReluDense.activation = ["squared_relu"]
t5_models.MDHA.share_qk_rep = True
transformer.Unitransformer.layer_stack = @t5_models.PrePostNormLayerStack
transformer.make_layer_stack.layers = [@t5_models.MDHA, @transformer_layers.DenseReluDense]
transformer.LayerStack.sublayers_per_layer = [
    @t5_models.sublayer_prime_norm,
    @transformer.sublayer_mask_padding,
    @transformer.sublayer_call_layer,
    @transformer.sublayer_dropout,
    @transformer.sublayer_residual,
]
transformer.LayerStack.sublayers_final = [
    @t5_models.sublayer_prime_norm,
    @transformer.sublayer_dropout,
    @transformer.sublayer_mask_padding,
]
""",
    f"gin/models/{MODEL}.gin": (
        "include 'models/medium_primer.gin'\ninclude 'models/small_defaults.gin'\n"
    ),
}


def write(folder):
    """Writes the files into a folder."""
    for name, text in FILES.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def arguments(mode, vocabulary, **bindings):
    """Returns the arguments of the authors' commands that train or evaluate, without TPU flags.

    Args:
      mode: "train" or "perplexity_eval".
      vocabulary: The path of a SentencePiece model.
      **bindings: Additional gin bindings.
    """
    files = ["dataset.gin", "models/defaults.gin", f"models/{MODEL}.gin"]
    bindings = {
        "MIXTURE_NAME": TASK,
        "run.sequence_length": {"inputs": 1, "targets": 32},
        "run.model_type": "lm",
        "utils.run.save_checkpoints_steps": 2400,
        "utils.serialize_num_microbatches.tokens_per_microbatch_per_replica": 8192,
        "sentencepiece_model.path": str(vocabulary),
        **bindings,
    }
    if mode == "train":
        files += ["learning_rate_schedules/rsqrt_no_ramp_down.gin", "objectives/lm.gin"]
        bindings = {"utils.run.batch_size": ("tokens_per_batch", 128), **bindings}
    else:
        files += ["perplexity_eval.gin"]
        bindings |= {
            "utils.run.mode": "perplexity_eval",
            "utils.run.dataset_split": "validation",
            "utils.run.eval_checkpoint_step": "all",
        }
    return [
        "--gin_location_prefix=gin/",
        *(f"--gin_file={name}" for name in files),
        *(f"--gin_param={name} = {value!r}" for name, value in bindings.items()),
    ]
