"""Shards of a text, written by an Apache Beam pipeline on a cluster."""

from collections.abc import Callable, Sequence

from primer_tf.data.shard_writer import ShardWriter
from primer_tf.errors import UserError


def prepare_on_beam(parts: int, options: Sequence[str] = ()) -> Callable[[ShardWriter], None]:
    """Returns a function that has a Beam pipeline write shards: the `write_elsewhere` of `prepare`.

    The machines need this package with numpy and sentencepiece, and have to see the text and the
    folder under the same paths.

    Args:
        parts: Number of elements of the pipeline, each of which writes every so many-th shard.
        options: Arguments of the pipeline, as `["--runner=FlinkRunner", ...]`. Defaults to none, by
            which it runs on this machine.

    Raises:
        UserError: Apache Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            "Apache Beam is not installed. It cannot share an environment with TensorFlow; the "
            "guide on scale shows how to make one for it."
        ) from error

    def write_elsewhere(writer: ShardWriter) -> None:
        def write(part: int) -> None:
            writer.write(part=part, parts=parts)

        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            numbers = pipeline | "Parts" >> beam.Create(range(parts)) | beam.Reshuffle()
            _ = numbers | "Write" >> beam.Map(write)

    return write_elsewhere
