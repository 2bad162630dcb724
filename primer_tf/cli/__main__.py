"""`python -m primer_tf.cli`: the `primer` command."""

import sys

from primer_tf.cli import main

sys.exit(main())
