"""The demo: a tiny Primer on the King James text, from vocabulary to a served prompt."""

import json
import lzma
import subprocess
import sys
from pathlib import Path

import keras_hub

from primer_tf.export import export_saved_model
from primer_tf.models import PrimerCausalLM
from primer_tf.tasks.text import TextSource
from primer_tf.training.callbacks.learning_curve import draw_learning_curve
from primer_tf.training.config import RunConfig
from primer_tf.training.record import LAST
from primer_tf.training.run import train
from primer_tf.types import StrPath

PROMPT = "And it came to pass, that"

# What a client of the SavedModel needs, and nothing of this package.
CLIENT = """
import sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
print(model(prompts=tf.constant([sys.argv[2]]))["texts"].numpy()[0].decode("utf-8"))
"""


def run_demo(output: StrPath, steps: int) -> None:
    """Trains `tiny_primer_ez`, draws its learning curve, writes a sample, exports and serves it.

    Args:
        output: Folder of everything the demo writes; a run in it that was cut short is continued.
        steps: Training steps; the default of the command takes about 4 minutes on 2 cores.

    Raises:
        RuntimeError: The served model does not answer what `generate` answers.
    """
    output = Path(output)
    config = RunConfig(
        preset="tiny_primer_ez",
        data="demo",
        steps=steps,
        interval=50,
        learning_rate_scale=2.0,  # For a run as short.
    )
    resume = (output / "run.json").exists()
    _, evaluation, history = train(config, output, resume=resume)
    model = PrimerCausalLM.from_preset(str(output / LAST))

    validation = "".join(TextSource("demo").documents("validation")).encode("utf-8")
    xz = 8 * len(lzma.compress(validation, preset=9)) / len(validation)
    picture = output / "learning_curve.png"
    draw_learning_curve(history.rows, picture, reference=("xz -9", xz))
    print(f"\nLearning curve: {picture}")
    print(f"Validation text, bits per byte: model {evaluation.bits_per_byte:.3f}, xz -9 {xz:.3f}")

    sampler = keras_hub.samplers.TopPSampler(p=0.7, seed=1)
    model.compile(sampler=sampler, jit_compile=False)  # one sample is not worth compiling
    print(f"\nA sample:\n{model.generate(PROMPT, max_length=120)}")

    model.compile(sampler="greedy", jit_compile=False)
    expected = model.generate(PROMPT, max_length=64)
    exported = export_saved_model(model, output / "serving" / "primer", max_length=64)
    print(f"\nExported {exported}. A process of its own completes the prompt:")
    served = subprocess.run(
        [sys.executable, "-c", CLIENT, str(exported), PROMPT],
        capture_output=True,
        text=True,
        check=False,
    )
    if served.returncode:
        raise RuntimeError(f"The served model failed: {served.stderr.strip().splitlines()[-1]}")
    answer = served.stdout.removesuffix("\n")  # what print adds; the text may end in more
    print(answer)
    if answer != expected:
        raise RuntimeError(f"The served model answered {answer!r}, not {expected!r}.")
    results = {"bits_per_byte": evaluation.bits_per_byte, "xz_bits_per_byte": xz, "steps": steps}
    (output / "results.json").write_text(json.dumps(results) + "\n", encoding="utf-8")
