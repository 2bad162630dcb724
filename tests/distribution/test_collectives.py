"""What the devices of a mesh send each other in a training step, as XLA compiles it."""

import json

import pytest

from primer_tf.gin_config.presets import preset_arguments
from tests.distribution.collectives import BATCH_SIZE, SEQUENCE_LENGTH, collectives
from tests.distribution.run_module import run_module
from tests.distribution.several_hosts import environment


def test_collectives_in_a_text():
    text = """
    %a = f32[4,32]{1,0} all-gather(f32[2,32]{1,0} %x), channel_id=1
    %b = (f32[4]{0}, f32[]) all-reduce-start(f32[4]{0} %x, f32[] %y), channel_id=2
    %c = f32[4]{0} get-tuple-element((f32[4]{0}, f32[]) %all-reduce.1), index=0
    """
    assert collectives(text) == [["all-gather", [[4, 32]]], ["all-reduce", [[4], []]]]


def collectives_of(request, preset, mesh, devices):
    arguments = ("tests.distribution.collectives", preset, mesh)
    return json.loads(run_module(request, environment(devices), *arguments).splitlines()[-1])


# Sums of activations and gathers of them in a block. Full Primer projects the queries of a head
# from the keys of all heads, which lie on all devices: a gather forwards and a sum backwards.
IN_A_BLOCK = {"tiny_transformer_vanilla": (4, 0), "tiny_primer_ez": (4, 0), "tiny_primer": (5, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("preset", IN_A_BLOCK)
def test_tensor_parallelism_sends_what_megatron_sends(request, preset):
    """Two sums of activations a block forwards and two backwards, and no gather of anything.

    Megatron-LM (Shoeybi et al. 2019, figure 4): one after and one before each sublayer. The
    gradients of queries, keys and values may be summed in one operation, as several arrays.
    """
    found = collectives_of(request, preset, "model:2", 2)
    arguments = preset_arguments(preset)
    activations = [BATCH_SIZE, SEQUENCE_LENGTH, arguments["hidden_dim"]]
    of_activations = [kind for kind, shapes in found if activations in shapes]
    sums, gathers = (number * arguments["num_layers"] for number in IN_A_BLOCK[preset])
    # And one more sum, of the rows that were looked up in the embedding.
    assert of_activations.count("all-reduce") == sums + 1
    assert of_activations.count("all-gather") == gathers
    assert len(of_activations) == sums + 1 + gathers
    # Nothing else is gathered, and nothing sent is as large as the scores of attention, the
    # feed-forward channels or the logits.
    others = [kind for kind, shapes in found if activations not in shapes]
    assert set(others) == {"all-reduce"}
    assert all(shape == activations or len(shape) <= 2 for _, shapes in found for shape in shapes)
