"""Ordered earth mover's distance of sparse classes to the whole table, in closed form. Pure arithmetic on counts: no engine, no values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def ordered_distances(starts: np.ndarray, ranks: np.ndarray, counts: np.ndarray, marginal: np.ndarray) -> np.ndarray:
    """Ordered EMD of each class to the table, normalised to 0..1; shape (classes,).

    Args:
        starts: index of the first (rank, count) pair of each class; ascending from 0.
        ranks: ranks of the values that occur, ascending within a class; 0..m-1.
        counts: rows of each pair, above 0.
        marginal: rows of the table per rank, shape (m,), m of at least 2.

    EMD = sum over ranks i < m of |F_i - G_i| / (m - 1), with F and G the cumulative shares of class and table (Li et al. 2007, section 4.1).
    F is constant from one present rank to the next and G ascends, so each such stretch is split where G crosses F and both parts are
    differences of the running sum of G: the cost does not grow with the number of absent values.
    """
    import numpy as np

    m = len(marginal)
    table = np.cumsum(marginal)[:-1] / marginal.sum()  # G at ranks 0..m-2
    running = np.concatenate([[0.0], np.cumsum(table)])
    sizes = np.add.reduceat(counts, starts)
    ends = np.append(starts[1:], len(counts))
    cumulative = np.cumsum(counts)
    before = np.repeat(cumulative[starts] - counts[starts], ends - starts)
    share = (cumulative - before) / np.repeat(sizes, ends - starts)
    following = np.append(ranks[1:], m - 1)
    following[ends - 1] = m - 1  # after the last present value F stays 1
    distance = np.add.reduceat(_stretch(share, np.minimum(ranks, m - 1), following, table, running), starts)
    distance += running[ranks[starts]]  # before the first present value F is 0 and the difference is G itself
    return np.asarray(distance / (m - 1))


def _stretch(share: np.ndarray, begin: np.ndarray, end: np.ndarray, table: np.ndarray, running: np.ndarray) -> np.ndarray:
    """Sum of |share - G_i| over begin <= i < end."""
    import numpy as np

    crossing = np.clip(np.searchsorted(table, share), begin, end)
    below = share * (crossing - begin) - (running[crossing] - running[begin])
    above = (running[end] - running[crossing]) - share * (end - crossing)
    return np.asarray(below + above)
