"""Lets gin files bind `max_distance`, where the last bucket of the relative position bias starts.

Mesh TensorFlow's function has this argument but is not configurable by gin.
"""

import gin
from mesh_tensorflow.transformer import transformer_layers

transformer_layers._relative_position_bucket = gin.external_configurable(
    transformer_layers._relative_position_bucket,
    name="relative_position_bucket",
    module="primer_tf.mesh",
)
