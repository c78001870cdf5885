"""No figure about fewer than five people: which published cell each department's cell is counted in. Pure.

A small cell joins the other small ones of its department and side, then of the company and side, then of the company; if
what is left is still too small, the smallest published cell joins it, so that no remainder can be found by subtraction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.statement import Cell, RolledUp

MINIMUM_PEOPLE = 5

OTHER, COMPANY, BOTH = "(other)", "(company)", "(both)"
EVERYTHING = Cell(department=COMPANY, side=BOTH, commitment=OTHER)

#: The steps a small cell is widened by, in order.
STEPS: tuple[Callable[[Cell], Cell], ...] = (
    lambda cell: Cell(department=cell.department, side=cell.side, commitment=OTHER),
    lambda cell: Cell(department=COMPANY, side=cell.side, commitment=OTHER),
    lambda cell: EVERYTHING,
)


def publish(owners: Mapping[Cell, frozenset[str]]) -> dict[Cell, Cell] | None:
    """Raw cell -> published cell; each published one is about at least five distinct owners. None: that cannot be had."""
    published = {cell: cell for cell in owners}
    for widen in STEPS:
        for raw in _small(owners, published):
            published[raw] = widen(raw)
    while small := _small(owners, published):
        people = _people(owners, published)
        others = sorted((len(who), _key(cell), cell) for cell, who in people.items() if published[small[0]] != cell)
        if not others:
            return None
        for raw, cell in published.items():
            if cell == others[0][2]:
                published[raw] = EVERYTHING
    return published


def rolled_up(published: Cell) -> RolledUp:
    """How far a published cell was widened."""
    if published.department == COMPANY:
        return "company"
    return "department" if published.commitment == OTHER else ""


def _key(cell: Cell) -> tuple[str, str, str]:
    return cell.department, cell.side, cell.commitment


def _people(owners: Mapping[Cell, frozenset[str]], published: Mapping[Cell, Cell]) -> dict[Cell, frozenset[str]]:
    found: dict[Cell, frozenset[str]] = {}
    for raw, cell in published.items():
        found[cell] = found.get(cell, frozenset()) | owners[raw]
    return found


def _small(owners: Mapping[Cell, frozenset[str]], published: Mapping[Cell, Cell]) -> list[Cell]:
    people = _people(owners, published)
    return sorted((raw for raw, cell in published.items() if len(people[cell]) < MINIMUM_PEOPLE), key=_key)
