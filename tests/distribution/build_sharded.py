"""Makes large weights on virtual devices; prints the largest array that was whole, as JSON.

`python -m tests.distribution.build_sharded MESH` needs KERAS_BACKEND=jax, and the devices in
XLA_FLAGS.
"""

import json
import math
import sys

import jax

from primer_tf.distribution import parse_mesh
from primer_tf.distribution.make_distribution import make_distribution
from primer_tf.models import PrimerBackbone

# Of float32: weights of 80 MB, of which four devices have no room for copies in 250 MB.
ROWS, CHANNELS = 80_000, 256


def main():
    whole, put = [0], jax.device_put

    def device_put(array, *arguments, **options):
        whole.append(array.nbytes)
        return put(array, *arguments, **options)

    jax.device_put = device_put
    with make_distribution(parse_mesh(sys.argv[1])).scope():
        backbone = PrimerBackbone(
            ROWS, num_layers=1, hidden_dim=CHANNELS, intermediate_dim=ROWS, num_heads=4
        )
    parts = {
        weight.path: [
            4 * math.prod(weight.shape),
            max(shard.data.nbytes for shard in weight.value.addressable_shards),
        ]
        for weight in backbone.weights
    }
    print(json.dumps({"whole": max(whole), "parts": parts}))


if __name__ == "__main__":
    main()
