"""Makes the distance of the last bucket of the relative position bias a parameter of gin files.

Mesh TensorFlow has the function, with that argument, and no way to bind it.
"""

import gin
from mesh_tensorflow.transformer import transformer_layers

transformer_layers._relative_position_bucket = gin.external_configurable(
    transformer_layers._relative_position_bucket,
    name="relative_position_bucket",
    module="primer_tf.mesh",
)
