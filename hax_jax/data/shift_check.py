"""Whether labels are shifted exactly once, asked of rows as they are trained on."""

import numpy as np


def shift_problem(rows: dict[str, np.ndarray]) -> str:
    """'' if each target is the next input, exactly once; else what is wrong, and where.

    `rows` holds records.FEATURES, each [R, T]. Within a segment the target at a place
    must be the input at the next place. Shifted twice, it would be the one after that:
    the loss then stays near 5 and nothing else looks wrong. The doctor's `labels` says
    why.
    """
    inputs, targets = rows['inputs'], rows['targets']
    same = rows['segment_ids'][:, :-1] == rows['segment_ids'][:, 1:]
    same &= rows['segment_ids'][:, :-1] > 0
    wrong = same & (targets[:, :-1] != inputs[:, 1:])
    if not wrong.any():
        return ''
    row, place = (int(i) for i in np.argwhere(wrong)[0])
    return (
        f'targets are not the next inputs at {int(wrong.sum())} of {int(same.sum())} '
        f'places, first in row {row} at place {place}'
    )
