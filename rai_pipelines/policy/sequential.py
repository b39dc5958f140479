"""Error rates over repeated audits: a model that is audited each month must not fail once a year by luck alone.

The level is divided over the looks (Bonferroni, as alpha spending in Lan and DeMets 1983 but valid under any dependence of the looks): half goes
to the first look, which decides the release; two fifths are shared by the further looks of a year; the last tenth is halved by
every look beyond, so that the sum never exceeds alpha however often somebody looks. A look is new data: judging the same data again
spends nothing and gains nothing.

Only failing needs this. A control has to pass at every look, and for such an intersection-union test each look keeps its level (Berger 1982).
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST, FURTHER, BEYOND = 0.5, 0.4, 0.1


def alpha_at_look(alpha: float, look: int, *, looks_per_year: int) -> float:
    """The level at which the `look`-th look at one model version may fail it; summed over all looks at most `alpha`.

    Raises:
        ValueError: looks are counted from 1, and a year has at least 2.
    """
    if look < 1 or looks_per_year < 2:
        raise ValueError(f"look {look} of {looks_per_year} a year: looks are counted from 1 and a year has at least 2")
    if look == 1:
        return alpha * FIRST
    if look <= looks_per_year:
        return alpha * FURTHER / (looks_per_year - 1)
    return float(alpha * BEYOND * 0.5 ** (look - looks_per_year))


def look_at(tables: Sequence[str | None]) -> int:
    """Which look the last of these tables (by digest, in the order in which they were judged) is: its place among the different ones, by first use.

    A table keeps its place. Otherwise looking at others in between would lower the level at which it failed, and a failure would
    turn into an undecided finding without any new data.
    """
    return list(dict.fromkeys(tables)).index(tables[-1]) + 1 if tables else 1
