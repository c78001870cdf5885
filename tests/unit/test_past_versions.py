"""What was published and has begun neither changes nor goes; what is still to come may do both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.agreement import Published
from streams import past_versions, published
from streams.check import Inspection
from streams.settings import ROOT

AT = datetime(2026, 6, 1, tzinfo=UTC)
LATER = AT + timedelta(days=60)
SOON, PAST = "2026-07-01T00:00:00Z", "2026-05-01T00:00:00Z"
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("policy.yaml", "calendars.yaml", "people.yaml"):
        shutil.copy(ROOT / "deploy" / name, tmp_path / name)
    return tmp_path


def edit(folder: Path, file: str, change: Edit) -> None:
    said = yaml.safe_load((folder / file).read_text())
    change(said)
    (folder / file).write_text(yaml.safe_dump(said, sort_keys=False))


def publication(folder: Path, at: datetime) -> tuple[Inspection, list[Published]]:
    inspection = Inspection(folder)
    inspection.read_agreement()
    inspection.refuse()
    return inspection, published.versions(inspection, at)


def faults(folder: Path, before: list[Published], at: datetime = AT) -> list[str]:
    inspection, now = publication(folder, at)
    past_versions.compare(inspection.nodes, now, before)
    return inspection.faults.lines()


def one(said: dict[str, Any], listed: str, name: str, by: str = "name") -> dict[str, Any]:
    found: dict[str, Any] = next(stanza for stanza in said[listed] if stanza[by] == name)
    return found


def further(listed: str, name: str, by: str = "name", /, **changes: Any) -> Edit:
    """The stanza there is once more, changed."""
    return lambda said: said[listed].append({**one(said, listed, name, by), **changes})


def without(listed: str, name: str, by: str = "name") -> Edit:
    return lambda said: said[listed].remove(one(said, listed, name, by))


def changed(listed: str, name: str, by: str = "name", /, **changes: Any) -> Edit:
    return lambda said: one(said, listed, name, by).update(changes)


END = further("commitments", "hold_intake", version="2", effective_from=SOON, enabled=False)


GONE = without("commitments", "hold_intake"), changed("commitments", "hold_intake", enabled=False)


@pytest.mark.parametrize("change", GONE, ids=["taken out", "switched off"])
def test_a_commitment_that_vanished_is_refused_with_the_mend(change: Edit, folder: Path) -> None:
    _, before = publication(folder, AT)
    edit(folder, "policy.yaml", change)
    (fault,) = faults(folder, before)
    assert "policy.yaml:" in fault
    assert "commitment hold_intake, version 1, was published on 2026-06-01 and is not here any more" in fault
    assert "end it by a further one: the same name, another version" in fault
    assert fault.endswith("and enabled: false")


def test_a_commitment_is_ended_by_a_version_that_switches_it_off_and_that_one_stays_too(folder: Path) -> None:
    _, before = publication(folder, AT)
    edit(folder, "policy.yaml", END)
    assert faults(folder, before) == []
    _, ended = publication(folder, AT)
    edit(folder, "policy.yaml", lambda said: said["commitments"].pop())
    assert faults(folder, [*before, *ended]) == [], "its time is still to come"
    (fault,) = faults(folder, [*before, *ended], LATER)
    assert "hold_intake, version 2, was published" in fault


def test_what_was_taken_back_before_its_time_is_not_asked_for_later(folder: Path) -> None:
    _, first = publication(folder, AT)
    edit(folder, "policy.yaml", END)
    edit(folder, "calendars.yaml", further("calendars", "de-berlin", effective_from=SOON))
    _, second = publication(folder, AT)
    edit(folder, "policy.yaml", lambda said: said["commitments"].pop())
    edit(folder, "calendars.yaml", lambda said: said["calendars"].pop())
    _, third = publication(folder, AT)
    assert faults(folder, [*first, *second, *third], LATER) == []
    assert len(faults(folder, [*first, *second], LATER)) == 2, "of both files, where the last word was that they come"


def test_a_calendar_that_nobody_has_any_more_stays(folder: Path) -> None:
    edit(folder, "calendars.yaml", further("calendars", "de-berlin", name="unused"))
    _, before = publication(folder, AT)
    edit(folder, "calendars.yaml", without("calendars", "unused"))
    (fault,) = faults(folder, before)
    assert "calendars.yaml:" in fault
    assert "calendar unused from 1970-01-01 was published on 2026-06-01 and is not here any more" in fault


PERSON, BY_KEY = "p-003", "key"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            changed("people", PERSON, BY_KEY, team="ta-apac"),
            "p-003 was published on 2026-06-01 with team: ta-emea, and here",
        ),
        (changed("people", PERSON, BY_KEY, calendar="us-ny"), "with calendar: none, and here it is us-ny"),
        (changed("teams", "ta-emea", BY_KEY, department="HR"), "ta-emea was published on 2026-06-01 with department: People"),
        (changed("locations", "berlin", BY_KEY, calendar="us-ny"), "berlin was published on 2026-06-01 with calendar: de-berlin"),
        (without("people", PERSON, BY_KEY), "p-003 was published on 2026-06-01 and is not here any more; put it back"),
        (
            further("people", PERSON, BY_KEY, effective_from=PAST, team="ta-apac"),
            "team: ta-emea from 2026-05-01T00:00:00Z on",
        ),
        (lambda said: said["company"].update(calendar="us-ny"), "give company a further stanza in calendars.yaml"),
        (further("people", PERSON, BY_KEY, effective_from=SOON, team="ta-apac"), ""),
        (changed("people", PERSON, BY_KEY, name="Carla Roux", contact={"email": "roux@example.com"}), ""),
        (changed("people", PERSON, BY_KEY, leave=[{"first": "2026-07-01", "last": "2026-07-02", "learned_at": SOON}]), ""),
        (further("people", PERSON, BY_KEY, key="p-new", identities={"greenhouse": ["new"]}), ""),
    ],
)
def test_who_is_where_changes_from_now_on_only(change: Edit, said: str, folder: Path) -> None:
    _, before = publication(folder, AT)
    edit(folder, "people.yaml", change)
    found = faults(folder, before)
    if not said:
        assert found == []
        return
    (fault,) = found
    assert "people.yaml:" in fault
    assert said in fault


def test_a_people_file_published_before_there_were_dates_is_compared(folder: Path) -> None:
    inspection, before = publication(folder, AT)
    assert inspection.models is not None
    whole = inspection.models[1].model_dump(mode="json", exclude=published.PRIVATE)
    for kind in ("people", "teams", "locations"):
        for stanza in whole[kind]:
            del stanza["effective_from"]
    before = [each.model_copy(update={"content": whole}) if each.kind == "people" else each for each in before]
    assert faults(folder, before) == []
    edit(folder, "people.yaml", changed("people", PERSON, BY_KEY, team="ta-apac"))
    assert len(faults(folder, before)) == 1


def test_the_faults_line_is_that_of_the_stanza(folder: Path) -> None:
    _, before = publication(folder, AT)
    text = (folder / "people.yaml").read_text()
    place = text.index("{key: p-003,")
    (folder / "people.yaml").write_text(text[:place] + text[place:].replace("team: ta-emea", "team: ta-apac", 1))
    (fault,) = faults(folder, before)
    assert f"people.yaml:{text[:place].count(chr(10)) + 1}: " in fault
