"""A program of a recorded search."""

from primer_tf.errors import UserError
from primer_tf.programs.program import Program
from primer_tf.search.config import read_config
from primer_tf.search.record import SearchRecord
from primer_tf.types import StrPath


def program_of(directory: StrPath, number: int | None) -> Program:
    """Returns a program of a search.

    Args:
        directory: Folder of the search.
        number: Number of the individual of the evolution, or `None` for the best.

    Raises:
        UserError: There is none of this number.
    """
    read_config(directory)
    record = SearchRecord(directory)
    if number is None:
        found = record.best(1)
    else:
        found = [each for each in record.individuals("evolution") if each.number == number]
    record.close()
    if not found or found[0].program is None:
        raise UserError(f"{directory} has no such individual, or none is fully trained yet.")
    return Program.from_json(found[0].program)
