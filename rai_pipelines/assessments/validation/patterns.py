"""Regular expressions out of suite files: a small language that every engine reads alike and in time that grows with the text alone.

Allowed are characters, `.`, `\\d \\w \\s` (ASCII), sets in brackets, groups with alternatives, `^` and `$` at the ends, and `? * + {n} {n,m}`
behind a single character or set. Refused are back-references, look-around, flags, and repeated groups, which let a short text take years.
"""

from __future__ import annotations

import re

LONGEST = 200  # characters
MOST_REPEATS = 255  # the largest count that PostgreSQL takes
MOST_OPEN_ENDED = 3  # `*`, `+` and `{n,}` in one pattern: an engine that backtracks tries all their lengths
SETS = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\n\\r\\f\\v"}
ESCAPED = set(r".^$*+?()[]{}|\/-")
_COUNT = re.compile(r"\{(\d{1,3})(,(\d{0,3}))?\}")


def portable(pattern: str) -> str:
    """`pattern` spelled so that DuckDB, PostgreSQL and Spark read it alike.

    Raises:
        ValueError: it is too long or has something in it that is refused; says what and where.
    """
    if not pattern or len(pattern) > LONGEST:
        raise ValueError(f"a pattern has 1 to {LONGEST} characters, and this one {len(pattern)}")
    return _Reader(pattern).read()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.place = pattern, 0
        self.written: list[str] = []
        self.depth, self.open_ended = 0, 0

    def read(self) -> str:
        while self.place < len(self.pattern):
            self._next()
        if self.depth:
            raise ValueError("a group is not closed")
        return "".join(self.written)

    def _next(self) -> None:
        char, rest = self.pattern[self.place], self.pattern[self.place :]
        if rest.startswith("(?:"):
            self._group(3)
        elif rest.startswith("(?"):
            raise self._refused("look-around, flags and named groups are refused")
        elif char == "(":
            self._group(1)
        elif char == ")":
            if not self.depth:
                raise self._refused("a bracket closes nothing")
            self.depth -= 1
            self._write(")", 1)
            if self.place < len(self.pattern) and self.pattern[self.place] in "*+?{":
                raise self._refused("a group is repeated")
        elif char == "|":
            self._write("|", 1)
        elif char in "^$":
            inside = self.place != (0 if char == "^" else len(self.pattern) - 1)
            if inside:
                raise self._refused(f"{char} stands at the {'start' if char == '^' else 'end'} only")
            self._write(char, 1)
        elif char in "*+?{":
            raise self._refused(f"{char} repeats nothing")
        else:
            self._write(*self._atom())
            self._quantifier()

    def _group(self, length: int) -> None:
        self.depth += 1
        self._write("(", length)

    def _atom(self) -> tuple[str, int]:
        """One character, class or set, and how much of the pattern it takes."""
        char = self.pattern[self.place]
        if char == ".":
            return r"[^\n]", 1
        if char == "[":
            return self._set()
        if char == "\\":
            return self._escape()
        if char in "]}":
            raise self._refused(f"write \\{char} for the character")
        if not char.isprintable():
            raise self._refused("a character that cannot be printed")
        return char, 1

    def _escape(self) -> tuple[str, int]:
        following = self.pattern[self.place + 1 : self.place + 2]
        if following in SETS and following:
            return f"[{SETS[following]}]", 2
        if following in ESCAPED and following:
            return (f"\\{following}" if following not in "/-" else following), 2
        raise self._refused(f"\\{following} is refused")

    def _set(self) -> tuple[str, int]:
        end = self.pattern.find("]", self.place + 2)
        body = self.pattern[self.place + 1 : end] if end > 0 else ""
        inner = body.removeprefix("^")
        pieces = re.fullmatch(r"(?:\\[dws]|\\[\]\\^-]|[^\\\[\]^-]-[^\\\[\]^-]|[^\\\[\]^-])+-?", inner)
        if pieces is None or not inner.isprintable():
            raise self._refused("a set holds characters, ranges and \\d \\w \\s only")
        spelled = re.sub(r"\\([dws])", lambda found: SETS[found.group(1)], inner)
        for low, high in re.findall(r"([^\\])-([^\\])", inner):
            if low > high:
                raise self._refused(f"the range {low}-{high} is upside down")
        return f"[{'^' if body.startswith('^') else ''}{spelled}]", end + 1 - self.place

    def _quantifier(self) -> None:
        if self.place >= len(self.pattern):
            return
        char = self.pattern[self.place]
        counted = _COUNT.match(self.pattern, self.place)
        if char in "*+?":
            self._count_open(char != "?")
            self._write(char, 1)
        elif counted:
            low, high = int(counted[1]), int(counted[3]) if counted[3] else None
            if max(low, high or 0) > MOST_REPEATS or (high is not None and high < low):
                raise self._refused(f"a count is at most {MOST_REPEATS} and ascends")
            self._count_open(counted[2] is not None and high is None)
            self._write(counted[0], len(counted[0]))
        if self.place < len(self.pattern) and self.pattern[self.place] in "*+?{":
            raise self._refused("a repeat is repeated")

    def _count_open(self, is_open: bool) -> None:
        self.open_ended += is_open
        if self.open_ended > MOST_OPEN_ENDED:
            raise self._refused(f"more than {MOST_OPEN_ENDED} repeats without an upper end")

    def _write(self, text: str, consumed: int) -> None:
        self.written.append(text)
        self.place += consumed

    def _refused(self, why: str) -> ValueError:
        return ValueError(f"at character {self.place + 1}: {why}")
