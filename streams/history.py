"""The ordered events of one life, found by condition, interview and interviewer without looking at all of them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from streams.conditions import Conditions
from streams.event import Event, Key, key_of


class History:
    """Ordered events of one life, found by condition without looking at all of them."""

    __slots__ = ("_by_kind", "_found", "_of_interviewer", "events")

    def __init__(self, ordered: Sequence[Event]) -> None:
        self.events = ordered
        self._by_kind: dict[str, list[Event]] = {}
        for event in ordered:
            self._by_kind.setdefault(event.kind, []).append(event)
        self._found: dict[Conditions, tuple[Event, ...]] = {}
        self._of_interviewer: dict[Conditions, dict[tuple[str | None, str | None], list[Event]]] = {}

    def of_kind(self, kind: str) -> Sequence[Event]:
        """The events of a kind, in their order."""
        return self._by_kind.get(kind, ())

    def matching(self, conditions: Conditions) -> tuple[Event, ...]:
        """The events that match any of the conditions, in their order. Asked again it is at hand."""
        found = self._found.get(conditions)
        if found is None:
            hits: list[Event] = []
            kinds = 0
            for kind in conditions.kinds:
                them = self._by_kind.get(kind)
                if them is None:
                    continue
                kinds += 1
                hits += them if conditions.wheres[kind] is None else [e for e in them if conditions.match(kind, e.attributes)]
            if kinds > 1:
                hits.sort(key=key_of)
            found = self._found[conditions] = tuple(hits)
        return found

    def of_interviewer(self, conditions: Conditions) -> Mapping[tuple[str | None, str | None], Sequence[Event]]:
        """What matches, by interview and person."""
        found = self._of_interviewer.get(conditions)
        if found is None:
            found = self._of_interviewer[conditions] = {}
            for event in self.matching(conditions):
                found.setdefault((event.interview_id, event.person), []).append(event)
        return found


def first_after(events: Sequence[Event], key: Key) -> Event | None:
    """The first of ordered events that comes after the place `key` in the order."""
    place = bisect_right(events, key, key=key_of) if events else 0
    return events[place] if place < len(events) else None
