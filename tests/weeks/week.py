"""The week itself: its moments, and what a vendor's week must be able to say at each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx

from tests.every_fixture import SIGN, Signed

Handler = Callable[[httpx.Request], httpx.Response]
MINUTE = timedelta(minutes=1)
FULL = ("review_candidate", "schedule_interview", "submit_feedback")


def at(day: int, clock: str) -> datetime:
    """An instant of the first week of March 2026; `day` 2 is the Monday."""
    return datetime.fromisoformat(f"2026-03-{day:02}T{clock}:00+00:00")


def z(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


OPENED, APPLIED, SUBMITTED = at(2, "08:30"), at(2, "09:00"), at(2, "12:00")
TAKEN, BOOKED, STARTS, ENDS, CARD = at(3, "09:00"), at(3, "11:00"), at(4, "09:00"), at(4, "10:00"), at(5, "07:30")
END = at(6, "12:00")
#: What happens when; each vendor has a method of each name.
MOMENTS = {"opened": OPENED, "applied": APPLIED, "submitted": SUBMITTED, "taken": TAKEN, "booked": BOOKED, "card": CARD}
STAGES = {"applied": "Applied", "submitted": "Manager review", "taken": "Interview"}


@dataclass
class Week:
    """One account at one vendor. A moment's method changes what the API shows and gives the webhooks that tell of it."""

    system: ClassVar[str]
    polled: ClassVar[tuple[str, ...]] = ()
    kept: ClassVar[tuple[str, ...]] = FULL  #: the promises that the vendor's data can judge
    ids: ClassVar[tuple[str, str, str]]  #: native ids of requisition, application and interview
    path: ClassVar[str] = ""  #: of the API, below its host
    api: ClassVar[dict[str, Any]] = {"token": {"env": "WEEK_TOKEN"}}
    account: str
    secret: bytes = b"webhook-secret-of-the-week"
    now: datetime = OPENED

    @property
    def person(self) -> str:
        """The candidate's name: no other account's, and in nothing that is not about them."""
        return f"Zuleika-{self.account}-Ombrage"

    def gone(self) -> None:
        """The candidate was deleted at the vendor."""
        raise NotImplementedError

    def handler(self) -> Handler | None:
        """The vendor's API; None where it is not polled."""
        return None

    def moved_to(self, origin: str) -> None:
        """Where the API is now, for links to its next pages."""

    def tell(self, moment: str) -> list[Signed]:
        """Let it happen; the signed webhooks of it."""
        self.now = MOMENTS[moment]
        return [self.sign(one) for one in getattr(self, moment)() or ()]

    def sign(self, body: Any) -> Signed:
        return SIGN[self.system](self.secret, body)

    def source(self, origin: str) -> dict[str, Any]:
        """Its entry in sources.yaml."""
        entry: dict[str, Any] = {"account": self.account, "system": self.system, "poll_every": 0.3}
        entry["webhook_secrets"] = [{"env": f"WEEK_SECRET_{self.account.upper().replace('-', '_')}"}]
        if self.polled:
            entry |= {"polled": list(self.polled), "api": {"base_url": origin + self.path, **self.api}}
        return entry

    def obligations(self) -> dict[str, str]:
        """Commitment -> id of the obligation in the ledger, of those it keeps."""
        requisition, application, interview = self.ids
        about = f"{self.account}/{requisition}:{application}"
        found = {name: f"{name}:{about}:1" for name in ("review_candidate", "schedule_interview")}
        found["submit_feedback"] = f"submit_feedback:{about}:{interview}:p-manager:1"
        return {name: found[name] for name in self.kept if name in found}


@dataclass
class Listed(Week):
    """A vendor whose API is lists of objects: a fake of tests.fake_ats over `lists`."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def put(self, path: str, record: dict[str, Any], key: str = "id") -> None:
        """Show a record: a new one, or another version of one that is there."""
        listed = self.lists.setdefault(path, [])
        listed[:] = [one for one in listed if one.get(key) != record.get(key)] + [record]

    def change(self, path: str, **changes: Any) -> dict[str, Any]:
        """Another version of the last record of a list."""
        record = {**self.lists[path][-1], **changes}
        self.lists[path][-1] = record
        return record
