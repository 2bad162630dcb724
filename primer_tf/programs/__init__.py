"""Decoder blocks as programs, which the architecture search edits (Primer, section 3).

A program is data: `infer_graph` checks it and infers all shapes, `program_layer.ProgramLayer` runs
it in Keras, and `interpreter.interpret` in NumPy. `PrimerBackbone(block=["program"], program=...)`
has it as its block.
"""

from primer_tf.programs.cost import ProgramCost, program_cost
from primer_tf.programs.graph import Graph, Node, infer_graph
from primer_tf.programs.library import (
    block_program,
    primer,
    primer_ez,
    transformer,
    transformer_plusplus,
)
from primer_tf.programs.listing import listing
from primer_tf.programs.primitive import InvalidProgram, Primitive
from primer_tf.programs.primitives import PRIMITIVES
from primer_tf.programs.program import Instruction, Program, Subprogram

__all__ = [
    "Graph",
    "Instruction",
    "InvalidProgram",
    "Node",
    "PRIMITIVES",
    "Primitive",
    "Program",
    "ProgramCost",
    "Subprogram",
    "block_program",
    "infer_graph",
    "listing",
    "primer",
    "primer_ez",
    "program_cost",
    "transformer",
    "transformer_plusplus",
]
