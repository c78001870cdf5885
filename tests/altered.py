"""Ways to alter a ledger behind its writer's back, each on rows of its own, and what `rebuild` has to say of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Integer, Table, delete, insert, select, text, update

from streams.ledger_rows import Row
from streams.ledger_tables import UtcInstant, application, holding, obligation, revision

FAR = 1_000_000  #: an offset that no partition has reached
FUTURE = datetime(2199, 1, 1, tzinfo=UTC)
MOVING = ("elapsed_us", "business_us")  #: totals of what runs: they differ with every tick
NOW, R, A, H = obligation.c, revision.c, application.c, holding.c


def another(column: Column[Any], value: Any) -> Any:
    """A value of the column's type that is not this one, and as near to it as may be."""
    if isinstance(column.type, UtcInstant):
        return datetime(2026, 3, 2, tzinfo=UTC) if value is None else value + timedelta(microseconds=1)
    if isinstance(column.type, JSON):
        return {**value, "target": value["target"] + "."}
    if isinstance(column.type, Boolean):
        return not value
    return value + 1 if isinstance(column.type, Integer) else f"{value or ''}."


@dataclass
class Altered:
    """What was done: by the altered subject a name of the deed, and the cause that is to be listed."""

    conn: Connection
    deeds: dict[str, str] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)

    def everything(self) -> None:
        self._revisions_may_be_altered()
        self._obligations()
        self._current_and_newest()
        self._places_of_rows()
        self._invented()
        self._applications()

    def _note(self, subject: str, deed: str, cause: str = "altered") -> None:
        self.deeds[subject], self.causes[subject] = deed, cause

    def _revisions_may_be_altered(self) -> None:
        """As somebody with the database's password can."""
        if self.conn.dialect.name == "sqlite":
            for verb in ("update", "delete"):
                self.conn.execute(text(f"DROP TRIGGER revision_no_{verb}"))
        else:
            self.conn.execute(text("ALTER TABLE revision DISABLE TRIGGER USER"))

    def _pool(self, table: Table, *where: Any) -> Iterator[Row]:
        """Rows that nothing was done to, in an order that is always the same."""
        key = next(iter(table.primary_key))
        for row in self.conn.execute(select(table).where(*where).order_by(key)).mappings().all():
            if row[key.name] not in self.deeds:
                yield dict(row)

    def _set(self, table: Table, key: str, **values: Any) -> None:
        self.conn.execute(update(table).where(next(iter(table.primary_key)) == key).values(values))

    # -- obligations -------------------------------------------------------------------------------------------------

    def _obligations(self) -> None:
        """Each column alone, and together with an offset that says: this is newer than anything you can know."""
        names = [column.name for column in obligation.c if column.name not in ("obligation_id", "source_offset")]
        gone = NOW.reason == "no longer applies"
        for kind, where in (("ended", NOW.ended_at.is_not(None) & ~gone), ("running", NOW.ended_at.is_(None)), ("gone", gone)):
            rows = self._pool(obligation, where)
            for name in names if kind != "gone" else ("team", "verdict", "digest", "revision_no", "learned_at"):
                if kind == "running" and name in MOVING:
                    continue
                for beyond in (False, True):
                    if (row := next(rows, None)) is None:
                        break
                    changed = {name: another(obligation.c[name], row[name])}
                    if beyond:
                        changed["source_offset"] = FAR
                    self._set(obligation, row["obligation_id"], **changed)
                    self._note(row["obligation_id"], f"{kind}: {' and '.join(changed)}")
            if (row := next(rows, None)) is not None:
                self._set(obligation, row["obligation_id"], source_offset=FAR)
                self._note(row["obligation_id"], f"{kind}: source_offset")

    def _ended(self) -> Iterator[Row]:
        return self._pool(obligation, NOW.ended_at.is_not(None), NOW.reason != "no longer applies")

    def _current_and_newest(self) -> None:
        """The newest revision is not what the row says."""
        rows = self._ended()
        for column in revision.c:
            if column.name in ("obligation_id", "source_offset"):
                continue
            row = next(rows)
            self.conn.execute(
                update(revision)
                .where(R.obligation_id == row["obligation_id"], R.revision_no == row["revision_no"])
                .values({column.name: another(column, row[column.name])})
            )
            self._note(row["obligation_id"], f"newest revision: {column.name}")
        row = next(rows)
        self.conn.execute(delete(revision).where(R.obligation_id == row["obligation_id"]))
        self._note(row["obligation_id"], "no revision")
        row = next(rows)
        later = {**row, "revision_no": row["revision_no"] + 1, "verdict": "missed"}
        self.conn.execute(insert(revision), [later])
        self._note(row["obligation_id"], "a revision was added")
        row = next(rows)
        self.conn.execute(delete(obligation).where(NOW.obligation_id == row["obligation_id"]))
        self._note(row["obligation_id"], "row deleted", "missing")
        row = next(rows)
        self.conn.execute(delete(obligation).where(NOW.obligation_id == row["obligation_id"]))
        self.conn.execute(delete(revision).where(R.obligation_id == row["obligation_id"]))
        self._note(row["obligation_id"], "row and revisions deleted", "missing")

    def _places_of_rows(self) -> None:
        rows = self._ended()
        for what, changed in (
            ("requisition without facts", {"requisition_id": "acme/nowhere"}),
            ("requisition without facts, beyond", {"requisition_id": "acme/nowhere", "source_offset": FAR}),
            ("partition 7, learned in the future", {"source_partition": 7, "learned_at": FUTURE}),
            ("partition 99, beyond", {"source_partition": 99, "source_offset": FAR}),
            ("partition -1", {"source_partition": -1}),
            ("verdict and digest", {"verdict": "cancelled", "digest": "0" * 16}),
            ("verdict, reason of what is gone", {"verdict": "cancelled", "reason": "no longer applies"}),
            ("deadline and owner", {"deadline": FUTURE, "owner": "nobody"}),
            ("receipt without anything, beyond", {"receipt": {}, "source_offset": FAR}),
        ):
            row = next(row for row in rows if row["source_partition"] != 7)
            self._set(obligation, row["obligation_id"], **changed)
            self._note(row["obligation_id"], f"moved: {what}")
        of: dict[str, list[Row]] = {}
        for row in rows:
            of.setdefault(row["requisition_id"], []).append(row)
        one, two = (of[name] for name in list(of)[:2])
        for what, a, b in (("in a requisition", one[0], one[1]), ("across requisitions", one[2], two[0])):
            self._swap(a["obligation_id"], b["obligation_id"])
            self._note(a["obligation_id"], f"ids swapped {what}")
            self._note(b["obligation_id"], f"ids swapped {what}")
        self._set(obligation, one[3]["obligation_id"], requisition_id=two[1]["requisition_id"])
        self._note(one[3]["obligation_id"], "moved to another requisition")
        self._set(obligation, one[4]["obligation_id"], requisition_id=two[1]["requisition_id"], source_offset=FAR)
        self._note(one[4]["obligation_id"], "moved to another requisition, beyond")

    def _swap(self, one: str, two: str) -> None:
        for old, new in ((one, "aside"), (two, one), ("aside", two)):
            self._set(obligation, old, obligation_id=new)

    def _invented(self) -> None:
        row = next(self._ended())
        r = row["requisition_id"]
        told: tuple[tuple[str, str, Row], ...] = (
            ("requisition without facts", "review_candidate:acme/r777:a1:1", {"requisition_id": "acme/r777"}),
            ("the same, beyond", "review_candidate:acme/r778:a1:1", {"requisition_id": "acme/r778", "source_offset": FAR}),
            ("requisition with facts", f"review_candidate:{r}:invented:1", {}),
            ("the same, beyond", f"review_candidate:{r}:invented:2", {"source_offset": FAR}),
            ("id of one requisition, row of another", f"review_candidate:{r}:invented:3", {"requisition_id": "acme/r1"}),
            ("id of one requisition, row of none", f"review_candidate:{r}:invented:4", {"requisition_id": "acme/r999"}),
            ("an id of no form", "invented", {}),
            ("unknown partition", f"review_candidate:{r}:invented:6", {"source_partition": 99}),
        )
        for what, key, changed in told:
            self.conn.execute(insert(obligation), [{**row, "obligation_id": key, **changed}])
            self._note(key, f"invented: {what}", "not_from_facts")
        self.conn.execute(insert(revision), [{**row, "obligation_id": f"review_candidate:{r}:invented:7"}])
        self._note(f"review_candidate:{r}:invented:7", "invented: a revision alone", "not_from_facts")

    # -- applications ------------------------------------------------------------------------------------------------

    def _applications(self) -> None:
        rows = self._pool(application, A.application_id.not_like("%/moved"))
        for column in application.c:
            if column.name in ("application_id", "source_offset", "learned_at"):  # facts do not say when a state was learned
                continue
            for beyond in (False, True):
                row = next(rows)
                changed = {column.name: another(column, row[column.name])}
                if beyond:
                    changed["source_offset"] = FAR
                self._set(application, row["application_id"], **changed)
                # where an application was judged is in no digest of it
                cause = "other" if column.name == "source_partition" else "altered"
                self._note(row["application_id"], f"application: {' and '.join(changed)}", cause)
        row = next(rows)
        self._set(application, row["application_id"], source_offset=FAR, learned_at=FUTURE)
        self._note(row["application_id"], "application: source_offset")
        row = next(rows)
        self._set(application, row["application_id"], source_partition=99, learned_at=FUTURE, state="hired")
        self._note(row["application_id"], "application: partition 99, future, state")
        for column in holding.c:
            row = next(rows)
            first = dict(
                self.conn.execute(select(holding).where(H.application_id == row["application_id"])).mappings().first() or {}
            )
            value = {"application_id": "acme/nobody", "seq": 77}.get(column.name, another(column, first[column.name]))
            where = (H.application_id == first["application_id"], H.seq == first["seq"])
            self.conn.execute(update(holding).where(*where).values({column.name: value}))
            self._note(row["application_id"], f"holding: {column.name}")
        self._note("acme/nobody", "holding of no application", "not_from_facts")
        row = next(rows)
        self.conn.execute(delete(holding).where(H.application_id == row["application_id"]))
        self._note(row["application_id"], "holdings deleted")
        row = next(rows)
        self.conn.execute(delete(application).where(A.application_id == row["application_id"]))
        self._note(row["application_id"], "application deleted", "missing")
        row = next(rows)
        self.conn.execute(update(holding).where(H.application_id == row["application_id"]).values(seq=-H.seq))
        self._note(row["application_id"], "holdings the other way round")
        for key, changed in (
            ("acme/invented", {}),
            ("acme/invented2", {"source_offset": FAR}),
            ("acme/invented3", {"source_partition": 99}),
        ):
            self.conn.execute(insert(application), [{**row, "application_id": key, **changed}])
            self._note(key, f"application invented: {changed}", "not_from_facts")
        one, two = next(rows), next(rows)
        for old, new in ((one, "aside"), (two, one["application_id"]), ({"application_id": "aside"}, two["application_id"])):
            self._set(application, old["application_id"], application_id=new)
        for row in (one, two):
            self._note(row["application_id"], "ids of applications swapped")
