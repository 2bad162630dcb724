"""KerasHub's own test harness for layers, backbones, tasks, preprocessors and presets."""

import numpy as np
import pytest
from keras import ops
from keras_hub.src.tests.test_case import TestCase

from primer_tf.layers import (
    CausalDepthwiseConv1D,
    CausalSeparableConv1D,
    DecoderBlock,
    DecoderStack,
    EvolvedConvolution,
    FeedForward,
    MultiDConvHeadAttention,
    PrimerNormalization,
    ResidualSublayer,
    SwitchFeedForward,
    SynthesizerAttention,
)
from primer_tf.models import (
    PrimerBackbone,
    PrimerCausalLM,
    PrimerCausalLMPreprocessor,
    PrimerTokenizer,
)
from tests.models.small_models import SMALL as TWO_LAYERS
from tests.models.small_models import VARIANTS
from tests.sample_text import SENTENCES

SHAPE = (2, 5, 12)
SMALL = {**TWO_LAYERS, "num_layers": 1}


class LayerTest(TestCase):
    test_session = None  # TensorFlow's; not a test

    def check(self, cls, init_kwargs, weights, **kwargs):
        self.run_layer_test(
            cls=cls,
            init_kwargs=init_kwargs,
            input_data=np.random.default_rng(0).standard_normal(SHAPE).astype("float32"),
            expected_output_shape=SHAPE,
            expected_num_trainable_weights=weights,
            **kwargs,
        )

    def test_causal_depthwise_conv(self):
        self.check(CausalDepthwiseConv1D, {"kernel_size": 3}, 3)

    def test_primer_normalization(self):
        self.check(PrimerNormalization, {}, 2)

    def test_feed_forward(self):
        self.check(FeedForward, {"intermediate_dim": 7, "gated": True}, 6)

    def test_attention(self):
        self.check(MultiDConvHeadAttention, {"num_heads": 3}, 13)

    def test_shared_attention(self):
        self.check(MultiDConvHeadAttention, {"num_heads": 3, "shared_query_key": True}, 10)

    def test_separable_conv(self):
        kwargs = {"filters": SHAPE[-1], "kernel_size": 3, "activation": "relu"}
        self.check(CausalSeparableConv1D, kwargs, 3 + 1 + 2)

    @pytest.mark.slow
    def test_evolved_convolution(self):
        self.check(EvolvedConvolution, {}, (11 + 3) + 2 * (7 + 3) + 2)

    @pytest.mark.slow
    def test_switch_feed_forward(self):
        kwargs = {"intermediate_dim": 7, "num_experts": 3, "gated": True, "dropout": 0.1}
        # Jitter and dropout have a generator each.
        self.check(SwitchFeedForward, kwargs, 4, expected_num_non_trainable_variables=2)

    @pytest.mark.slow
    def test_synthesizer_attention(self):
        self.check(SynthesizerAttention, {"num_heads": 3, "max_length": 6}, 5)

    @pytest.mark.slow
    def test_residual_sublayer(self):
        self.check(ResidualSublayer, {"layer": FeedForward(7), "normalization": "rms"}, 5)

    @pytest.mark.slow
    def test_decoder_block(self):
        # The harness sets the precision of the block, but not of a list of layers in its arguments.
        sublayers = [ResidualSublayer(FeedForward(7)), ResidualSublayer(FeedForward(9))]
        self.check(DecoderBlock, {"sublayers": sublayers}, 12, run_precision_checks=False)

    def test_decoder_stack(self):
        layers = [MultiDConvHeadAttention(3), FeedForward(7)]
        self.check(DecoderStack, {"layers": layers, "num_blocks": 2}, 2 * (13 + 4 + 4) + 1 + 2)


class ModelTest(TestCase):
    test_session = None

    @pytest.fixture(autouse=True)
    def _vocabulary(self, vocabulary):
        self.proto = vocabulary

    def setUp(self):
        super().setUp()
        self.init_kwargs = {
            "tokenizer": PrimerTokenizer(self.proto),
            "sequence_length": 8,
        }

    def test_tokenizer(self):
        self.run_preprocessing_layer_test(PrimerTokenizer, {"proto": self.proto}, SENTENCES[:2])

    def test_preprocessor(self):
        self.run_preprocessor_test(
            PrimerCausalLMPreprocessor, self.init_kwargs, input_data=SENTENCES[:2]
        )

    def test_backbone(self):
        for variant in (VARIANTS["primer"], VARIANTS["evolved"]):
            self.run_backbone_test(
                PrimerBackbone,
                {**SMALL, **variant},
                {
                    "token_ids": ops.ones((2, 5), dtype="int32"),
                    "padding_mask": ops.ones((2, 5), dtype="int32"),
                },
                expected_output_shape=(2, 5, SMALL["hidden_dim"]),
            )

    def task_kwargs(self):
        return {
            "backbone": PrimerBackbone(**SMALL),
            "preprocessor": PrimerCausalLMPreprocessor(**self.init_kwargs),
        }

    def test_task(self):
        self.run_task_test(
            PrimerCausalLM,
            self.task_kwargs(),
            train_data=(SENTENCES[:2],),
            expected_output_shape=(2, 8, SMALL["vocabulary_size"]),
        )

    def test_saving(self):
        kwargs = self.task_kwargs()
        ids = ops.ones((2, 8), dtype="int32")
        self.run_model_saving_test(PrimerCausalLM, kwargs, {"token_ids": ids, "padding_mask": ids})

    def test_preset(self):
        ids = ops.ones((1, 5), dtype="int32")
        self.run_preset_test(
            PrimerBackbone,
            "tiny_primer_ez",
            {"token_ids": ids, "padding_mask": ids},
            expected_output_shape=(1, 5, 128),
        )
