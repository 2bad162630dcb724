"""Primer in the T5 codebase: Mesh TensorFlow layers and the runtime that current TensorFlow lacks.

- `runtime`: supplies what T5 and Mesh TensorFlow need and TensorFlow has dropped.
- `layers`, `decoding`: the Mesh TensorFlow model parts that our gin files name.
- `main`: the command `primer-t5`.

`primer_tf/import_hook.py` makes T5's own command `t5_mesh_transformer` work.

Importing this package imports none of them.
"""
