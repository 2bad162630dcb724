"""Plans of training against what XLA allocates and against arithmetic by hand.

On virtual devices, in processes of their own, because JAX counts its devices once.
"""

import json
import os

import pytest

from primer_tf.cli import main
from primer_tf.distribution.accelerators import ACCELERATORS
from tests.distribution.plan_on_meshes import BATCH_SIZE, SEQUENCE_LENGTH
from tests.distribution.run_module import run_module
from tests.distribution.several_hosts import environment

CASES = [
    'fsdp:2,model:2/optimizer="adamw"',
    "data:1",
    "data:2,model:2",
    "fsdp:4",
    'data:1/optimizer="muon"/gradient_accumulation_steps=2/ema_momentum=0.9',
]
BATCH = 4 * 4 * BATCH_SIZE * SEQUENCE_LENGTH  # Token ids, mask, targets and weights.


@pytest.fixture(scope="module")
def result(request):
    """A function from a case to its plan and its compiled memory."""

    def result(case):
        module = "tests.distribution.plan_on_meshes"
        found = json.loads(run_module(request, environment(4), module, case).splitlines()[-1])[case]
        return found["plan"], found["compiled"]

    return result


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_memory_is_what_xla_allocates(result, case):
    """Weights and optimizer to 1%, all else to 25%."""
    plan, compiled = result(case)
    replicas = {"data:1": 1, "fsdp:4": 4}.get(case.split("/")[0], 2)
    state = plan["weights"] + plan["optimizer"]
    assert compiled["arguments"] - BATCH // replicas == pytest.approx(state, rel=0.01)
    rest = plan["gradients"] + plan["activations"]
    assert compiled["temporaries"] == pytest.approx(rest, rel=0.25)
    assert compiled["outputs"] < 0.01 * state


def plan_of(request, *arguments):
    """Returns what the command prints."""
    return run_module(request, os.environ, "primer_tf.cli", "plan", *arguments)


@pytest.mark.slow
def test_the_command(request):
    """The size that the gin file's first line states, in float32 on eight devices, by hand."""
    printed = plan_of(
        *(request, "xl_primer_ez", "--mesh", "fsdp:8", "--device", "tpu-v5e"),
        *("--optimizer", "adamw", "--tokens", "1e9", "--batch_size", "64"),
        *("--sequence_length", "512", "--dtype", "mixed_bfloat16", "--utilization", "0.5"),
    )
    first, *lines = printed.splitlines()
    assert first.startswith("xl_primer_ez: 1,878,946,560 parameters on 8 x tpu-v5e")
    figures = {line.split()[0]: line for line in lines}
    gib = 4 * 1_878_946_560 / 8 / 2**30
    assert float(figures["weights"].split()[1]) == pytest.approx(gib, rel=0.01)
    assert float(figures["optimizer"].split()[1]) == pytest.approx(2 * gib, rel=0.01)
    assert float(figures["gradients"].split()[1]) == pytest.approx(gib, rel=0.01)
    assert figures["it"].split()[-1] == "16"
    tokens = 64 * 512
    assert figures["step:"].startswith(f"step: {tokens:,} tokens, ")
    flops = float(figures["step:"].split(", ")[1].split()[0])
    # Six operations for a weight and token (Kaplan et al. 2020), and attention.
    assert 1.0 < flops / (6 * 1_878_946_560 * tokens) < 1.2
    seconds = float(figures["step:"].split(", ")[2].split()[0])
    update = 2 * 4 * 1_878_946_560 * 4 / 8 / ACCELERATORS["tpu-v5e"].bandwidth
    assert seconds == pytest.approx(flops / (8 * 197e12 * 0.5) + update, rel=0.02)
    assert figures["run:"].startswith("run: 30,518 steps, ")


@pytest.mark.slow
def test_the_command_compiles(request):
    arguments = ["tiny_primer_ez", "--mesh", "data:2", "--batch_size", "4", "--compile"]
    printed = plan_of(request, *arguments)
    assert "XLA, for a CPU: 0." in printed.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--mesh", "data:0"], "needs a size for data"),
        (["--utilization", "0"], "utilization must be above 0 and at most 1"),
        (["--tokens", "0"], "tokens must be at least 1"),
        (["--batch_size", "0"], "batch_size must be at least 1"),
        (["--optimizer", "sgd"], "optimizer must be one of adafactor, adamw, muon"),
    ],
)
def test_errors(capsys, arguments, message):
    assert main(["plan", "tiny_primer_ez", *arguments]) == 1
    assert message in capsys.readouterr().err
