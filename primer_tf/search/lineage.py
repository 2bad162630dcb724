"""From the start to the best: the family of an individual."""

from collections.abc import Sequence

from primer_tf.search.individual import Individual


def lineage(individuals: Sequence[Individual], individual: Individual) -> list[Individual]:
    """Returns an individual's ancestors from the start on, and itself.

    Args:
        individuals: All individuals of its search.
        individual: The individual.
    """
    by_number = {
        each.number: each for each in individuals if each.algorithm == individual.algorithm
    }
    line = [individual]
    while (parent := line[-1].parent) is not None and parent in by_number:
        line.append(by_number[parent])
    return line[::-1]


def best_so_far(individuals: Sequence[Individual]) -> tuple[list[float], list[float]]:
    """Returns the compute spent after each fully trained individual, and the best loss by then."""
    spent, best = 0.0, float("inf")
    xs, ys = [], []
    for each in individuals:
        spent += each.outcome.spent
        if each.outcome.status == "trained" and each.outcome.loss is not None:
            best = min(best, each.outcome.loss)
            xs.append(spent)
            ys.append(best)
    return xs, ys
