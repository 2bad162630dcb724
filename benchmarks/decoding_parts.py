"""Where does greedy decoding spend its time, by kind of XLA operation?"""

import collections
import multiprocessing
import re
import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.candidates import primer
from benchmarks.harness import SMALL, SMOKE, options, write_json

# Events of whole calls, whose time the events of the operations add up to.
WHOLE_CALLS = r"Execut|Eager|generate_step|BlockUntilReady|FastPath|^while|^end:|Await"


def profile(model, prompt, new, architecture, quantize, batch_size):
    """Decodes under TensorFlow's profiler; returns milliseconds and counts by operation."""
    function = primer.generate(model, batch_size, prompt, new, architecture, quantize)
    function()
    times, counts = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            function()
        for path in Path(folder).rglob("*.xplane.pb"):
            space = xplane_pb2.XSpace.FromString(path.read_bytes())
            for plane in space.planes:
                names = {key: value.name for key, value in plane.event_metadata.items()}
                for event in (event for line in plane.lines for event in line.events):
                    # `dot.12` and `dot.13` are of the same kind.
                    name = re.sub(r"[._\d]+$", "", names[event.metadata_id])
                    if not re.search(WHOLE_CALLS, name):
                        times[name] += event.duration_ps / 1e9
                        counts[name] += 1
    return times, counts


def main():
    """Prints a table for each model and batch size, and writes `decoding_parts.json`."""
    arguments = options(__doc__)
    model, prompt, new = (SMOKE, 4, 4) if arguments.smoke else (SMALL, 64, 128)
    cases = [("transformer_vanilla", None, 1)]
    if not arguments.smoke:
        cases += [("transformer_vanilla", None, 8), ("primer_ez", None, 8)]
        cases += [("transformer_vanilla", "int8", 1)]
    tables = {}
    # Each case has its own process: in a shared one, earlier cases slowed down later ones.
    pool = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    for architecture, quantize, batch_size in cases:
        case = (model, prompt, new, architecture, quantize, batch_size)
        times, counts = pool.apply(profile, case)
        title = f"{architecture}{', ' + quantize if quantize else ''}, batch {batch_size}"
        print(f"\n{title}: ms a step, operations a step (including the prompt's)")
        for name, value in times.most_common(12):
            print(f"  {name:<40} {value / new:8.3f} {counts[name] / new:8.1f}", flush=True)
        tables[title] = {name: value / new for name, value in times.items()}
    pool.terminate()
    write_json("decoding_parts", tables, arguments.output)


if __name__ == "__main__":
    main()
