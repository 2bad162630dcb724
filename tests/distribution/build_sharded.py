"""Makes a large model on four virtual devices and prints how much memory that took, as JSON.

`python -m tests.distribution.build_sharded MESH` needs KERAS_BACKEND=jax, and the devices in
XLA_FLAGS. The devices share the memory of this process.
"""

import json
import math
import resource
import sys

from primer_tf.distribution import parse_mesh
from primer_tf.distribution.make_distribution import make_distribution
from primer_tf.models import PrimerBackbone


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    mesh = parse_mesh(sys.argv[1])
    distribution = make_distribution(mesh)
    with distribution.scope():
        # What the first small weights need of JAX does not count.
        PrimerBackbone(64, num_layers=1, hidden_dim=64, intermediate_dim=64)
        before = peak()
        # Two large weights of 256 MB and small ones.
        backbone = PrimerBackbone(
            2**17, num_layers=1, hidden_dim=512, intermediate_dim=2**17, head_dim=64
        )
    for weight in backbone.weights:
        weight.value.block_until_ready()
    size = sum(4 * math.prod(weight.shape) for weight in backbone.weights)
    largest = max(4 * math.prod(weight.shape) for weight in backbone.weights)
    print(json.dumps({"grown": peak() - before, "weights": size, "largest": largest}))


if __name__ == "__main__":
    main()
