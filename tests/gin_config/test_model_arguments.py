"""From gin bindings to the arguments of a backbone: all of them, or an error that names one."""

import pytest

from primer_tf import gin_directory
from primer_tf.errors import UserError
from primer_tf.gin_config import gin_reader
from primer_tf.gin_config.model_arguments import backbone_arguments, loss_arguments
from primer_tf.gin_config.presets import preset_arguments
from primer_tf.gin_config.resolved_bindings import ResolvedBindings
from primer_tf.gin_config.run_arguments import run_arguments
from tests.mesh.paper_values import WITHOUT_EFFECT

PRIMER = ["models/tiny_primer.gin"]
TRAIN = [*PRIMER, "run/train.gin", "hardware/cpu.gin"]


def read(files, *bindings):
    return ResolvedBindings(gin_reader.read(files, bindings))


def test_primer_in_full():
    assert backbone_arguments(read(["models/medium_primer.gin"])) == {
        "vocabulary_size": 32128,
        "max_sequence_length": 512,
        "num_layers": 12,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
        "num_heads": 12,
        "head_dim": 64,
        "block": ["attention", "feed_forward"],
        "kernel_size": 3,
        "shared_query_key": True,
        "activation": "squared_relu",
        "gated": False,
        "normalization": "primer",
        "placement": "alternating",
        "dropout": 0.0,
        "num_buckets": 32,
        "max_distance": 128,
        "gradient_checkpointing": False,
        "initializer_scale": 1.0,
    }


def test_the_losses_of_experts():
    """Mesh TensorFlow returns `loss_coef * (balance + z_loss * z)`, `transformer_moe_layer_v1`."""
    bindings = ("MoE1D.loss_coef = 0.5", "MoE1D.z_loss = 0.25")
    arguments = backbone_arguments(read(["models/switch_primer.gin"], *bindings))
    assert (arguments["load_balance_loss"], arguments["router_z_loss"]) == (0.5, 0.125)
    assert backbone_arguments(read(["models/switch_primer.gin"]))["router_z_loss"] == 0.0


@pytest.mark.parametrize(
    "binding, argument, value",
    [
        ("num_heads = 6", "num_heads", 6),
        ("MDHA.key_value_size = 16", "head_dim", 16),
        ("t5_models.MDHA.share_qk_rep = False", "shared_query_key", False),
        ("causal_depthwise_conv.kernel_size = 5", "kernel_size", 5),
        ("MDHA.kernel_size = 5", "kernel_size", 5),
        ("DenseReluDense.activation = ['swish', 'linear']", "gated", True),
        ("DenseReluDense.activation = 'gelu'", "activation", "gelu_tanh"),
        ("LayerStack.recompute_grads = True", "gradient_checkpointing", True),
        ("dropout_rate = 0.1", "dropout", 0.1),
        ("vocabulary_size = 300", "vocabulary_size", 384),
        ('run.sequence_length = {"inputs": 1, "targets": 64}', "max_sequence_length", 64),
    ],
)
def test_one_binding_changes_one_argument(binding, argument, value):
    before, after = backbone_arguments(read(PRIMER)), backbone_arguments(read(PRIMER, binding))
    assert after[argument] == value != before[argument]
    assert {**after, argument: before[argument]} | {"activation": 0} == {**before, "activation": 0}


@pytest.mark.parametrize(
    "binding, message",
    [
        ("MDHA.num_head = 3", "MDHA has no argument 'num_head'; did you mean 'num_heads'"),
        ("MDHB.num_heads = 3", "unknown configurable 'MDHB'; did you mean 'MDHA'"),
        ("MDHA.num_memory_heads = 1", "does not support MDHA.num_memory_heads = 1; it must be 0"),
        ("MDHA.shared_kv = True", "it must be False"),
        ("MDHA.combine_dims = False", "it must be True"),
        ("MDHA.keep_query_heads_dims = True", "it must be False"),
        ("MDHA.attention_func = 'hybrid'", "it must be None"),
        ("MDHA.call.losses = []", "it must be None"),
        ("MDHA.num_heads = %n", "nothing defines the macro %n"),
        ("num_heads = %num_heads", "macro %num_heads is defined by itself"),
        ("MDHA.z_loss_coeff = 1e-3", "does not support MDHA.z_loss_coeff = 0.001; it must be None"),
        ("MDHA.relative_attention_type = 'bias'", "it must be 'bias_shared'"),
        ("Unitransformer.positional_embedding = True", "it must be False"),
        ("utils.run.model_type = 'bitransformer'", "it must be 'lm'"),
        ("sublayer_dropout.dropout_rate = 0.2", "0.2, but .*defaults.gin, line .* has one dropout"),
        ("DenseReluDense.activation = ['relu', 'relu']", "does not support"),
        ("DenseReluDense.activation = ['mish']", "it has the activations relu,"),
        ("make_layer_stack.layers = [@MDHA, @a.Layer]", "no Keras layer stands for @a.Layer"),
        ("make_layer_stack.layers = [@MDHA, @SelfAttention]", "one kernel_size"),
        ("make_layer_stack.layer_stack_cls = @ReversibleLayerStack", "does not support"),
        ("LayerStack.sublayers_final = []", "does not support the sublayers"),
        (
            "LayerStack.sublayers_per_layer = [@sublayer_call_layer, @sublayer_residual]",
            "does not support the sublayers sublayer_call_layer, sublayer_residual",
        ),
    ],
)
def test_what_is_not_supported_is_named(binding, message):
    with pytest.raises(UserError, match=message) as error:
        backbone_arguments(read(PRIMER, binding))
    assert "the binding" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("binding", WITHOUT_EFFECT)
def test_what_has_no_effect_in_mesh_tensorflow_has_none_here(binding):
    notes = []
    bindings = gin_reader.read(PRIMER, [binding])
    assert backbone_arguments(ResolvedBindings(bindings, note=notes.append)) == preset_arguments(
        "tiny_primer"
    )
    # What says what is so anyway is no news, and a macro for a scope is what it is.
    silent = binding.startswith("MDHA.") or "." not in binding
    assert len(notes) == (not silent)
    if notes:
        name = binding.split(" ")[0]
        assert f"the binding '{binding}': {name} has no effect" in notes[0]


def test_a_note_is_logged(caplog):
    read(PRIMER, "encoder/MDHA.num_heads = 3")
    (record,) = caplog.records
    assert "scope 'encoder', which a language model never enters" in record.getMessage()


def test_primer_as_published_has_another_placement_and_nothing_else():
    for size in ("tiny", "small", "medium", "large"):
        described, published = (
            preset_arguments(f"{size}_primer{reading}") for reading in ("", "_as_published")
        )
        assert described["placement"] == "alternating"
        assert published == {**described, "placement": "pre"}


def test_an_error_names_file_and_line(tmp_path):
    file = tmp_path / "mine.gin"
    file.write_text('include "models/tiny_primer.gin"\n\nMDHA.num_haeds = 2\n')
    with pytest.raises(UserError, match=r"mine\.gin, line 3: MDHA has no argument 'num_haeds'"):
        read([file])


def test_a_model_without_bindings_has_mesh_tensorflows_defaults():
    # Position embeddings, which this package does not have, are one of them.
    with pytest.raises(UserError, match="positional_embedding is not bound, so it is True"):
        backbone_arguments(read([], "run.model_type = 'lm'"))


def test_loss():
    assert loss_arguments(read(PRIMER)) == {"z_loss": 1e-4, "label_smoothing": 0.0}


def test_run():
    files = [*TRAIN]
    fields = run_arguments(read(files, "VOCABULARY = 'v.model'", "TRAIN_STEPS = 200"))
    assert fields == {
        "sequence_length": 512,
        "batch_size": 8,
        "steps": 200,
        "interval": 2400,
        "warmup_steps": 10000,
        "learning_rate_scale": 1.0,
        "linear_decay_fraction": 0.0,
        "vocabulary": "v.model",
        "dtype": "float32",
        "z_loss": 1e-4,
        "label_smoothing": 0.0,
        "data": "seqio:demo_autoregressive_language_modeling",
    }


def test_a_model_alone_leaves_the_run_to_options():
    fields = run_arguments(read(["models/tiny_primer.gin"], "Unitransformer.z_loss = 0.5"))
    assert fields == {"z_loss": 0.5, "label_smoothing": 0.0}
    # With a setting of a run, the files describe all of it, with T5's defaults.
    fields = run_arguments(read(["models/tiny_primer.gin"], "utils.run.train_steps = 3"))
    assert (fields["steps"], fields["linear_decay_fraction"]) == (3, 0.1)


def test_data_of_runs():
    text = "MIXTURE_NAME = 'text_autoregressive_language_modeling'"
    fields = run_arguments(read(TRAIN, text, "TRAIN_FILES = 'a.txt'"))
    assert (fields["data"], fields.get("validation_data")) == ("lm:a.txt", None)
    fields = run_arguments(read(TRAIN, text, "TRAIN_FILES = 'a'", "VALIDATION_FILES = 'b'"))
    assert (fields["data"], fields["validation_data"]) == ("lm:a", "lm:b")
    with pytest.raises(UserError, match="Name the text files"):
        run_arguments(read(TRAIN, text))
    name = "lm1b_autoregressive_language_modeling"
    assert run_arguments(read(TRAIN, f"MIXTURE_NAME = '{name}'"))["data"] == f"seqio:{name}"


@pytest.mark.parametrize(
    "files, binding, message",
    [
        (TRAIN, "utils.run.optimizer = @SgdOptimizer", "does not support @SgdOptimizer"),
        (TRAIN, "AdafactorOptimizer.beta1 = 0.9", "it must be 0.0"),
        (TRAIN, "learning_rate_schedule_noam.offset = 5", "it must be 0"),
        (TRAIN, "TOKENS_PER_BATCH = 100", "100 tokens do not fill one sequence of 512"),
        (TRAIN, "get_variable_dtype.activation_dtype = 'float16'", "does not support 'float16'"),
        ([*TRAIN, "hardware/cpu_mesh.gin"], "MESH = 'model:2'", "does not support 'model:2'"),
        ([*PRIMER, "run/decode.gin"], "INPUT = 'x'", "does not support 'infer'"),
    ],
)
def test_runs_that_keras_cannot_make(files, binding, message):
    with pytest.raises(UserError, match=message):
        run_arguments(read(files, binding))


def test_every_gin_file_of_this_package_is_understood():
    for path in (gin_directory() / "models").glob("*.gin"):
        backbone_arguments(read([path]))
    for folder in ("run", "hardware"):
        for path in (gin_directory() / folder).glob("*.gin"):
            read([*PRIMER, path])
