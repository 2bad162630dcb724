"""Lengths rounded up, so that few shapes are compiled."""


def length_bucket(length: int, limit: int) -> int:
    """Returns the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ..., so that at most a third is padding.

    Args:
        length: A length, at least 1 and at most `limit`.
        limit: The largest length, which is a bucket, too.
    """
    power = 1 << (length - 1).bit_length()
    between = 3 * power // 4
    return min(between if between >= length else power, limit)
