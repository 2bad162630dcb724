"""The configurables of Mesh TensorFlow and T5 that gin files of a language model name.

Those of one kind of sublayer stand in its entry in `primer_tf.sublayers`; here is what belongs to
the whole model, and to a run. Declaring them allows checking a gin file without importing what it
configures; a test holds names, arguments and defaults to the installed packages.
"""

from typing import Any

from primer_tf.gin_config.gin_reader import Reference
from primer_tf.sublayers import mesh_layers
from primer_tf.sublayers.gin_arguments import BackboneArgument, Only, Rules


def _arguments(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


_TRANSFORMER = "mesh_tensorflow.transformer.transformer."
_UTILS = "mesh_tensorflow.transformer.utils."

MAKE_LAYER_STACK = _TRANSFORMER + "make_layer_stack"
LAYER_STACK = _TRANSFORMER + "LayerStack"
PRE_POST_NORM_LAYER_STACK = "t5_models.PrePostNormLayerStack"
CALL_LAYER = _TRANSFORMER + "sublayer_call_layer"
RESIDUAL = _TRANSFORMER + "sublayer_residual"
MASK_PADDING = _TRANSFORMER + "sublayer_mask_padding"
DROPOUT = _TRANSFORMER + "sublayer_dropout"
RMS_NORM = _TRANSFORMER + "sublayer_rms_norm"
LAYER_NORM = _TRANSFORMER + "sublayer_true_layer_norm"
PRIMER_NORM = "t5_models.sublayer_prime_norm"
UNITRANSFORMER = _TRANSFORMER + "Unitransformer"
VOCAB_EMBEDDING = _TRANSFORMER + "VocabEmbedding"
POSITION_BUCKET = "primer_tf.mesh.relative_position_bucket"
INITIALIZER = "mesh_tensorflow.layers.VarianceScalingInitializer"
RUN = _UTILS + "run"
VARIABLE_DTYPE = _UTILS + "get_variable_dtype"
MICROBATCHES = _UTILS + "serialize_num_microbatches"
ADAFACTOR = "mesh_tensorflow.optimize.AdafactorOptimizer"
DECAY_RATE = "mesh_tensorflow.optimize.adafactor_decay_rate_pow"
TPU_MESH_SHAPE = _UTILS + "tpu_mesh_shape"
SENTENCEPIECE_MODEL = "primer_tf.tasks.sentencepiece_model"
# T5's `lm` objective, for tasks that leave theirs to gin.
_PREPROCESSORS = "t5.data.preprocessors."
UNSUPERVISED = _PREPROCESSORS + "unsupervised"
SELECT_RANDOM_CHUNK = _PREPROCESSORS + "select_random_chunk"
REDUCE_CONCAT_TOKENS = _PREPROCESSORS + "reduce_concat_tokens"
SPLIT_TOKENS = _PREPROCESSORS + "split_tokens_to_targets_length"
NOAM = "mesh_tensorflow.transformer.learning_rate_schedules.learning_rate_schedule_noam"

_LAYER_STACK: Rules = {
    "sublayers_initial": [Reference("sublayer_dropout")],
    "sublayers_per_layer": [
        Reference("sublayer_rms_norm"),
        Reference("sublayer_call_layer"),
        Reference("sublayer_dropout"),
        Reference("sublayer_residual"),
    ],
    "sublayers_final": [Reference("sublayer_rms_norm"), Reference("sublayer_dropout")],
    "dropout_rate": Only(None),
    "norm_epsilon": Only(None),
    "recompute_grads": BackboneArgument("gradient_checkpointing", False),
}

# What a model computes, apart from its sublayers. The defaults are those of Mesh TensorFlow's own
# `gin/defaults.gin`, which T5 reads before all other files, where it has one.
MODEL: dict[str, Rules] = {
    MAKE_LAYER_STACK: {
        "layers": [Reference("SelfAttention"), Reference("DenseReluDense")],
        "layer_stack_cls": Reference("transformer.LayerStack"),
        "num_layers": BackboneArgument("num_layers", 6),
        "block_scope": Only(True),
    },
    LAYER_STACK: _LAYER_STACK,
    PRE_POST_NORM_LAYER_STACK: _LAYER_STACK,
    CALL_LAYER: {},
    RESIDUAL: {},
    MASK_PADDING: {},
    DROPOUT: {"dropout_rate": 0.1},
    RMS_NORM: {"epsilon": Only(1e-6), "name": Only("rms_norm")},
    LAYER_NORM: {"epsilon": Only(1e-6)},
    PRIMER_NORM: {"epsilon": Only(1e-6), "name": Only("primer_norm")},
    UNITRANSFORMER: {
        "d_model": BackboneArgument("hidden_dim", 1024),
        "max_length": 512,
        "positional_embedding": Only(False, default=True),
        "sinusoid_positional_embedding": Only(False),
        "shared_embedding_and_softmax_weights": Only(True),
        "label_smoothing": 0.0,
        "z_loss": 1e-4,
        "vocab_divisor": 128,
        "token_dropout_rate": Only(0.0),
        "input_full_attention": Only(False),
        "loss_fn": Only(None),
        "loss_on_targets_only": Only(False),
        "loss_denominator": Only(None),
        "ensemble": Only(None),
        "name": Only("transformer"),
    },
    VOCAB_EMBEDDING: {"scale_variable_like_classifier_weights": Only(False)},
    _TRANSFORMER + "get_vocab_embedding_cls": {"cls": Only(Reference("VocabEmbedding"))},
    POSITION_BUCKET: {"max_distance": BackboneArgument("max_distance", 128)},
    INITIALIZER: {
        "scale": BackboneArgument("initializer_scale", 1.0),
        "mode": Only("fan_in"),
        "distribution": Only("normal"),
    },
    "mesh_tensorflow.layers.unit_scaling_convention": {"value": Only(False)},
}


# Arguments that `build_model` sets itself for a language model, so that bindings have no effect.
OVERRIDDEN = {
    UNITRANSFORMER: (
        "autoregressive",
        "input_vocab_size",
        "layer_stack",
        "layout",
        "mesh_shape",
        "output_vocab_size",
    )
}


# How the T5 codebase runs a model: devices, data, training, decoding and scores. None of it changes
# the function that a model computes.
RUNS: dict[str, Rules] = {
    RUN: {
        **_arguments(
            "vocabulary train_dataset_fn eval_dataset_fn dataset_split autostack "
            "eval_checkpoint_step export_checkpoint_step export_path mode iterations_per_loop "
            "save_checkpoints_steps keep_checkpoint_max eval_summary_dir total_run_steps "
            "mesh_shape mesh_devices layout_rules predict_fn variable_filter "
            "perplexity_eval_steps init_checkpoint ensemble_inputs train_model_fn skip_seen_data "
            "seen_data_init_step output_eval_examples checkpoint_input_pipeline eval_dir_suffix "
            "tpu_job_name tpu gcp_project tpu_zone model_dir"
        ),
        "model_type": Only("lm", default="bitransformer"),
        "batch_size": ("tokens_per_replica", 2048),
        "sequence_length": {"inputs": 512, "targets": 512},
        "train_steps": None,
        "optimizer": Reference("AdafactorOptimizer"),
        "learning_rate_schedule": Reference("learning_rate_schedule_noam"),
    },
    VARIABLE_DTYPE: {
        "master_dtype": "bfloat16",
        "slice_dtype": "float32",
        "activation_dtype": "bfloat16",
    },
    MICROBATCHES: {"tokens_per_microbatch_per_replica": 2048},
    ADAFACTOR: {
        "multiply_by_parameter_scale": Only(True),
        "learning_rate": Only(None),
        "decay_rate": Only(None),
        "beta1": Only(0.0),
        "clipping_threshold": 1.0,
        "factored": Only(True),
        "epsilon1": 1e-30,
        "epsilon2": 1e-3,
        "min_dim_size_to_factor": 128,
        "stacked_dim_names": Only(None),
        "exclude_from_parameter_scale": Only(None),
    },
    DECAY_RATE: {"exponent": 0.8, "offset": Only(0)},
    NOAM: {
        "warmup_steps": 10000,
        "linear_decay_fraction": 0.1,
        "multiplier": 1.0,
        "offset": Only(0),
    },
    TPU_MESH_SHAPE: _arguments("tpu_topology model_parallelism ensemble_parallelism"),
    _UTILS + "tpu_estimator_model_fn": _arguments(
        "outer_batch_size tpu_summaries score_in_predict_mode init_variable_filter "
        "model_info_file hierarchical_tiling_spec weight_decay_checkpoint"
    ),
    _UTILS + "infer_model": _arguments("decode_fn checkpoint_paths"),
    _UTILS + "decode_from_file": _arguments("input_filename output_filename eos_id repeats"),
    _UTILS + "score_from_strings": _arguments(
        "inputs targets score_postprocess_fn eos_id score_eos score_with_estimator_fn"
    ),
    _UTILS + "score_from_dataset": _arguments(
        "score_dataset_fn score_postprocess_fn score_with_estimator_fn"
    ),
    _UTILS + "save_scores": _arguments("scores_filename save_example_text"),
    "Unitransformer.sample_autoregressive": _arguments(
        "stop_at_token max_steps temperature never_end remove_partial_sequences "
        "sampling_keep_top_k bos_id"
    ),
    "mesh_tensorflow.beam_search.beam_search": _arguments("alpha eos_id stop_early num_prefilter"),
    "mesh_tensorflow.ops.rewrite_stack_variables": _arguments(
        "max_combined_variable_size max_combined_slice_size"
    ),
    "mesh_tensorflow.transformer.dataset.pack_or_pad": _arguments("pack"),
    "mesh_tensorflow.transformer.dataset.pack_dataset": _arguments("use_custom_ops"),
    "t5.models.mesh_transformer.mesh_train_dataset_fn": _arguments(
        "mixture_or_task_name shuffle seed use_cached pack"
    ),
    "t5.models.mesh_transformer.mesh_eval_dataset_fn": _arguments(
        "mixture_or_task_name num_eval_examples use_cached pack shuffle_eval_examples seed"
    ),
    "t5.models.mesh_transformer.get_vocabulary": _arguments("mixture_or_task_name"),
    SENTENCEPIECE_MODEL: {"path": "gs://t5-data/vocabs/cc_all.32000/sentencepiece.model"},
    UNSUPERVISED: {
        "preprocessors": Only(
            [
                Reference(SELECT_RANDOM_CHUNK),
                Reference(REDUCE_CONCAT_TOKENS),
                Reference(SPLIT_TOKENS),
            ]
        )
    },
    SELECT_RANDOM_CHUNK: {
        "max_length": Only(65536),
        "feature_key": Only("targets"),
        "additional_feature_keys": Only(None),
        "passthrough_feature_keys": Only(None),
        "uniform_random_start": Only(False),
        "min_length": Only(None),
    },
    REDUCE_CONCAT_TOKENS: {"feature_key": Only("targets"), "batch_size": Only(128)},
    SPLIT_TOKENS: {},
    "primer_tf.tasks.text_files": _arguments("train validation"),
    "primer_tf.mesh.continuation_dataset_fn": _arguments("mixture_or_task_name num_examples"),
    "primer_tf.mesh.mesh_devices": _arguments("mesh_shape kind"),
    "primer_tf.mesh.beam_search_continuation": _arguments("beam_size alpha decode_length"),
}


def known_configurables() -> dict[str, Rules]:
    """Returns the arguments of every configurable that a gin file may bind, by its full name."""
    known = {**RUNS, **MODEL}
    for _, layer in mesh_layers():
        for name, arguments in layer.configurables.items():
            known[name] = {**known.get(name, {}), **arguments}
    return known
