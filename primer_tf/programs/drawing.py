"""A program's graph as an SVG picture."""

from html import escape

from primer_tf.programs.graph import CONCATENATE, INPUT, REPEAT, Graph, Node
from primer_tf.programs.primitives import PRIMITIVES

BOX, COLUMN, ROW = (170, 22), 186, 38  # Pixels
PLAIN, WITH_WEIGHTS, STRUCTURE = "#e8edf4", "#fde3b8", "#ffffff"


def to_svg(graph: Graph) -> str:
    """Returns a picture of a graph, from the input at the top to the output.

    Args:
        graph: A `Graph`.

    Returns:
        An `<svg>` element. Operations with weights are coloured.

    Example:

    >>> from primer_tf.programs import infer_graph, transformer
    >>> from primer_tf.programs.drawing import to_svg
    >>> to_svg(infer_graph(transformer(), 64)).count("<rect")
    40
    """
    places = _places(graph)
    columns = 1 + max(column for column, _ in places)
    rows = 1 + max(row for _, row in places)
    lines, boxes = [], []
    for node, (column, row) in zip(graph.nodes, places, strict=True):
        x, y = 8 + column * COLUMN, 8 + row * ROW
        for index in node.inputs:
            from_column, from_row = places[index]
            x1, y1 = 8 + from_column * COLUMN + BOX[0] // 2, 8 + from_row * ROW + BOX[1]
            lines.append(
                f'<path d="M{x1} {y1}C{x1} {y1 + 20} {x + BOX[0] // 2} {y - 20} '
                f'{x + BOX[0] // 2} {y}" fill="none" stroke="#7a869a"/>'
            )
        boxes.append(
            f'<rect x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="4" '
            f'fill="{_colour(node)}" stroke="#7a869a"/>'
            f'<text x="{x + BOX[0] // 2}" y="{y + 15}" text-anchor="middle">'
            f"{escape(_label(node))}</text>"
        )
    width, height = 16 + columns * COLUMN, 16 + rows * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _places(graph: Graph) -> list[tuple[int, int]]:
    """Returns the column and row of each node: its depth, and the first column free there."""
    depths: list[int] = []
    used: dict[int, int] = {}
    places = []
    for node in graph.nodes:
        depth = 1 + max((depths[index] for index in node.inputs), default=-1)
        depths.append(depth)
        places.append((used.get(depth, 0), depth))
        used[depth] = used.get(depth, 0) + 1
    return places


def _colour(node: Node) -> str:
    if node.operation in (INPUT, REPEAT, CONCATENATE):
        return STRUCTURE
    return WITH_WEIGHTS if node.weight is not None else PLAIN


def _label(node: Node) -> str:
    parts = [node.operation]
    if node.operation in PRIMITIVES and PRIMITIVES[node.operation].uses == ("constant",):
        parts.append(f"{node.constant:.3g}")
    size = "scores" if node.shape.is_scores else str(node.shape.channels)
    parts.append(f"[{node.copies} x {size}]" if node.copies > 1 else f"[{size}]")
    return " ".join(parts)
