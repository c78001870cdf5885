"""`mutual-sla check`: all faults at once, each with file, line and mend, and nothing starts."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams import check
from streams.errors import InvalidConfiguration
from streams.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("policy.yaml", "calendars.yaml", "people.yaml", "stages.yaml", "sources.yaml")


INTERVIEWERS = "owner: interviewer\n    start: [{kind: interview.ended}]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(DEPLOY / name, tmp_path / name)
    return tmp_path


def faults(folder: Path) -> list[str]:
    inspection = check.inspect(folder)
    return inspection.faults.lines()


def change(path: Path, old: str, new: str) -> int:
    """Replaces the first `old`, and gives the line it is on."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_the_samples_have_no_fault_and_no_warning(folder: Path) -> None:
    inspection = check.inspect(folder)
    assert inspection.faults.lines() == []
    assert inspection.warnings.lines() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("policy.yaml", "stop: [{kind: requisition.intake_held}]", "stop: [{kind: requisition.intake_hold}]", "did you mean"),
        ("policy.yaml", "reporting_zone: Europe/Berlin", "reporting_zone: Europe/Berlim", "not an IANA time zone"),
        ("policy.yaml", "where: {stage: manager_review}", "where: {stage: manager_revue}", "did you mean manager_review?"),
        ("policy.yaml", "target: {business_days: 3}", "target: {business_days: 3, elapsed_hours: 2}", "exactly one of"),
        ("policy.yaml", "target: {business_days: 3}", "target: {business_days: 3000}", "longer than 366 days"),
        ("policy.yaml", "sibling: submit_feedback", "sibling: submit_feedbak", "did you mean submit_feedback?"),
        # stops and starts that can never be reached
        (
            "policy.yaml",
            "stop: [{kind: requisition.intake_held}]",
            "stop: [{kind: interview.ended}]",
            "never reaches the requisition",
        ),
        ("policy.yaml", "      - {kind: requisition.closed}", "      - {kind: offer.sent}", "never reaches the requisition"),
        ("policy.yaml", "stop: [{kind: scorecard.submitted}]", "stop: [{kind: offer.sent}]", "use scorecard.submitted"),
        ("policy.yaml", INTERVIEWERS, INTERVIEWERS.replace("ended", "booked"), "use interview.ended"),
        ("policy.yaml", "cancel: *requisition_over", "cancel: []\n    contingent_on: decide", "use requires instead"),
        ("policy.yaml", "contingent_on: approve_offer", "contingent_on: first_slate", "wait for it with requires"),
        ("policy.yaml", "objective: 0.95", "objektive: 0.95", "objektive"),
        ("calendars.yaml", "zone: Europe/Berlin", "zone: Berlin", "IANA"),
        ("calendars.yaml", "country: DE", "country: XX", "XX"),
        ("people.yaml", "team: ta-emea", "team: ta-nowhere", "ta-nowhere"),
        ("sources.yaml", "system: greenhouse", "system: greenhaus", "greenhaus"),
        (
            "policy.yaml",
            "holders:\n",
            "holders:\n  - {when: {kind: offer.sent, delay: {business_days: 1}}, holder: candidate}\n",
            "start only",
        ),
        ("policy.yaml", "target: {business_days: 3}", "target: {business_days: }", "has no value"),
        ("policy.yaml", "where: {stage: manager_review}", "where: {stage: []}", "an empty list matches nothing"),
        ("policy.yaml", "pause: ", "pauses: ", "nothing begins a pause"),
        ("calendars.yaml", "region: BE", "region: XY", "is not a region of DE"),
        ("calendars.yaml", "      mon: ", "      monday: ", "did you mean mon?"),
        ("calendars.yaml", "name: us-ny", "name: de-berlin", "already on line"),
        ("calendars.yaml", '"09:00-12:30", "13:30-17:30"', '"13:30-17:30", "09:00-12:30"', "put them in order"),
        ("people.yaml", "key: p-002", "key: p-001", "already on line"),
        ("people.yaml", '["1002"]', '["1001"]', "identity greenhouse/1001 is already on line"),
        (
            "people.yaml",
            "key: p-002,",
            "key: p-002, effective_from: 2026-07-01T00:00:00Z,",
            "said of the time before 2026",
        ),
        ("people.yaml", "key: design,", "key: design, effective_from: 2026-07-01T00:00:00Z,", "of design nothing is said"),
        ("people.yaml", "key: p-002,", "key: p-002, effective_from: 2026-07-01,", "effective_from"),
        ("people.yaml", "location: berlin", "location: berlim", "did you mean berlin?"),
        ("people.yaml", "calendar: company", "calendar: firm", "calendar firm is not there"),
        ("people.yaml", "last: 2026-07-24", "last: 2026-06-24", "before it begins"),
        ("people.yaml", "last: 2026-07-24", "last: 2028-07-24", "no working time within 400 days"),
        ("people.yaml", "annika.corvin@example.com", "annika.corvin", "is not an email address"),
        ("sources.yaml", "scorecards, ", "scorecard, ", "did you mean scorecards?"),
        ("sources.yaml", "MUTUAL_SLA_TOKEN_APPROVER", "MUTUAL_SLA_TOKEN_EXTRACTOR", "already on line"),
        # what cannot be meant, and what it was misspelt from
        ("policy.yaml", "where: {stage: manager_review}", "where: {stage: 3}", "3 is not a canonical stage"),
        ("policy.yaml", "where: {stage: [applied, screen]}", "where: {stage: [applied, true]}", "True is not a canonical stage"),
        ("policy.yaml", "owner: recruiter", "owner: recuiter", "did you mean recruiter?"),
        (
            "policy.yaml",
            "owner: recruiter",
            "owner: recruiter\n    fallback_owner: hiring-manager",
            "did you mean hiring_manager?",
        ),
        ("stages.yaml", "  debrief: [", '  hired: ["x"]\n  debrief: [', "hired is already on line"),
        ("stages.yaml", "accounts: {}", "stages: {}", "stages is already on line"),
        ("stages.yaml", "accounts: {}", "acounts: {}", "there are stages, reasons and accounts, correct it or remove it"),
        ("stages.yaml", "accounts: {}", "accounts: [", "is not YAML"),
        ("stages.yaml", "accounts: {}", "accounts: " + "[" * 100_000, "is nested deeper than 100 levels"),
        ("people.yaml", "annika.corvin@example.com", "a@example.com, webhook: 'http://[::1'", "is not an HTTP address"),
        # only in the form they are meant in: lax reading would turn each of these into something else
        (
            "policy.yaml",
            "    objective: 0.95",
            '    enabled: "no"\n    objective: 0.95',
            "enabled: input should be a valid boolean",
        ),
        ("policy.yaml", "    objective: 0.95", "    enabled: 0\n    objective: 0.95", "enabled: input should be a valid boolean"),
        ("policy.yaml", "objective: 0.95", "objective: true", "objective: must be a number"),
        ("policy.yaml", "stop_count: 3", "stop_count: true", "stop_count: must be a number"),
        ("policy.yaml", "objective: 0.95", "objective: 0.95\n    minimum_n: true", "minimum_n: must be a number"),
        ("policy.yaml", "objective: 0.95", "objective: 0.95\n    weight: .inf", "weight: input should be a finite number"),
        ("policy.yaml", "target: {business_days: 3}", "target: {business_days: true}", "business_days: must be a number"),
        ("policy.yaml", "target: {business_days: 3}", 'target: {elapsed_hours: "inf"}', "elapsed_hours: must be a number"),
        ("policy.yaml", "target: {business_days: 3}", 'target: {calendar_days: "9999999"}', "calendar_days: must be a number"),
        (
            "policy.yaml",
            "start: [{kind: requisition.approved}]",
            'start: [{kind: requisition.approved, delay: {business_days: "99999"}}]',
            "delay.business_days: must be a number",
        ),
        (
            "policy.yaml",
            "objective: 0.95",
            "objective: 0.95\n    effective_from: 20260101",
            "effective_from: must be written as a date",
        ),
        (
            "policy.yaml",
            "objective: 0.95",
            'objective: 0.95\n    effective_from: "0001-01-01T00:00:00+02:00"',
            "is before the year 1",
        ),
        (
            "calendars.yaml",
            "    holidays:",
            "    effective_from: 9999-12-31T00:00:00Z\n    holidays:",
            "between 1970-01-01 and 2200",
        ),
        ("calendars.yaml", "closed: [2025-11-28, ", "closed: [20251128, ", "must be written as a date"),
        ("calendars.yaml", "09:00-12:30", "0\u00b9:00-12:30", "a window is written HH:MM-HH:MM"),
        ("calendars.yaml", "09:00-12:30", "0\u0669:00-12:30", "a window is written HH:MM-HH:MM"),
        ("people.yaml", "first: 2026-07-13", "first: 0001-01-01", "between 1970-01-01 and 2200-12-31"),
        ("people.yaml", "last: 2026-07-24", "last: 9999-12-31", "between 1970-01-01 and 2200-12-31"),
        ("sources.yaml", "    polled:", "    poll_every: .inf\n    polled:", "poll_every: input should be a finite number"),
    ],
)
def test_a_fault_is_named_with_its_line(folder: Path, file: str, old: str, new: str, said: str) -> None:
    line = change(folder / file, old, new)
    found = [fault for fault in faults(folder) if said in fault]
    assert found, f"nothing says {said!r}: {faults(folder)}"
    place = found[0].split(": ")[0]
    assert place.rpartition(":")[0].endswith(file)
    assert abs(int(place.rpartition(":")[2]) - line) <= 1


def further(since: str) -> str:
    return f'  - {{key: p-003, effective_from: {since}, name: C, team: ta-apac, identities: {{greenhouse: ["1003"]}}}}\n'


def test_somebody_may_change_teams_once_at_a_time(folder: Path) -> None:
    path = folder / "people.yaml"
    line = change(path, "people:\n", f"people:\n{further('2026-07-01T00:00:00Z')}{further('2026-08-01T00:00:00Z')}")
    assert faults(folder) == []
    people = check.load_agreement(folder).people
    july = datetime(2026, 7, 1, tzinfo=UTC)
    assert [people.team_of("p-003", at) for at in (july - timedelta(seconds=1), july)] == ["ta-emea", "ta-apac"]
    change(path, "2026-08-01T00:00:00Z", "2026-07-01T02:00:00+02:00")
    (fault,) = faults(folder)
    assert "people.yaml:" in fault
    assert f"people key p-003 from 2026-07-01T00:00:00+00:00 is already on line {line + 1}; give each its own" in fault


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("{client_id: {env: A}}", "greenhouse v3 needs client_secret"),
        ("{version: v9}", "there is no v9"),
        ("{client_id: {env: A}, client_secret: {env: B}, base_url: 'http://harvest.example'}", "base_url has to be an https URL"),
        ("{version: v1, token: {env: A}, base_url: 'ftp://127.0.0.1'}", ""),
        ("{version: v1, token: {env: A}, base_url: 'http://[::1'}", "base_url names no host"),
        ("{version: v1, token: {env: A}, base_url: 'https://'}", "base_url names no host"),
        ("{version: v1, token: {env: A}, base_url: 'https://ats.example:99999'}", "base_url names no host"),
    ],
)
def test_an_api_that_cannot_be_polled_is_refused(folder: Path, api: str, said: str) -> None:
    change(folder / "sources.yaml", "    polled:", f"    api: {api}\n    polled:")
    found = [fault for fault in faults(folder) if "sources.yaml" in fault]
    assert any(said in fault for fault in found) if said else not found


@pytest.mark.parametrize(
    ("system", "linked", "said"),
    [
        ("merge", "", "say by linked_account which is this one"),
        ("merge", "    linked_account: la-1\n", ""),
        ("lever", "    linked_account: la-1\n", "lever has no linked accounts"),
    ],
)
def test_whose_a_shared_webhook_is_has_to_be_said(folder: Path, system: str, linked: str, said: str) -> None:
    more = f"  - account: more\n    system: {system}\n    webhook_secrets: [{{env: MORE}}]\n{linked}"
    change(folder / "sources.yaml", "accounts:\n", f"accounts:\n{more}")
    found = [fault for fault in faults(folder) if "sources.yaml" in fault]
    assert any(said in fault for fault in found) if said else not found


def test_a_holder_rule_behind_one_that_takes_everything_is_refused(folder: Path) -> None:
    line = change(folder / "policy.yaml", "holders:\n", "holders:\n  - {when: {kind: offer.sent}, holder: candidate}\n")
    assert any(f"is never reached: the rule on line {line + 1} takes every offer.sent" in fault for fault in faults(folder))


def test_all_faults_of_all_files_are_listed_at_once(folder: Path) -> None:
    change(folder / "policy.yaml", "stop: [{kind: requisition.intake_held}]", "stop: [{kind: nonsense}]")
    change(folder / "calendars.yaml", "zone: Europe/Berlin", "zone: Nowhere")
    change(folder / "people.yaml", "team: ta-emea", "team: ta-nowhere")
    change(folder / "sources.yaml", "system: greenhouse", "system: greenhaus")
    with pytest.raises(InvalidConfiguration) as caught:
        check.run(Settings(deploy_dir=folder), as_json=False)
    assert caught.value.exit_code == 78
    named = {fault.split(":")[0].rpartition("/")[2] for fault in caught.value.faults}
    assert {"policy.yaml", "calendars.yaml", "people.yaml", "sources.yaml"} <= named


def test_a_commitment_that_no_source_can_measure_is_refused(folder: Path) -> None:
    change(folder / "sources.yaml", "offers]", "]")
    change(folder / "sources.yaml", "scorecards, ", "")
    assert any("submit_feedback" in fault and "scorecard.submitted" in fault for fault in faults(folder)), faults(folder)


def test_contingencies_in_a_circle_are_refused(folder: Path) -> None:
    change(
        folder / "policy.yaml",
        "    stop: [{kind: requisition.approved}]",
        "    contingent_on: hold_intake\n    stop: [{kind: requisition.approved}]",
    )
    change(
        folder / "policy.yaml",
        "    stop: [{kind: requisition.intake_held}]",
        "    contingent_on: provide_role_information\n    stop: [{kind: requisition.intake_held}]",
    )
    assert sum("waits for itself" in fault for fault in faults(folder)) == 2


def test_windows_that_overlap_are_refused(folder: Path) -> None:
    change(folder / "calendars.yaml", '"13:30-17:30"', '"12:00-17:30"')
    assert any("overlap" in fault or "order" in fault for fault in faults(folder)), faults(folder)


def test_two_versions_of_one_date_are_refused(folder: Path) -> None:
    text = (folder / "policy.yaml").read_text()
    stanza = text[text.index("  - name: hold_intake") : text.index("  - name: first_slate")]
    stanza = stanza.replace("*requisition_over", "[{kind: requisition.closed}]").replace(
        "*resumed", "[{kind: requisition.resumed}]"
    )
    (folder / "policy.yaml").write_text(text + "\n" + stanza)
    assert any("hold_intake" in fault and "already on line" in fault for fault in faults(folder))


def test_yaml_that_cannot_be_read_is_one_clear_fault(folder: Path) -> None:
    (folder / "policy.yaml").write_text("version: [1\n")
    assert [fault for fault in faults(folder) if "policy.yaml" in fault]


def test_json_is_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check.run(Settings(deploy_dir=folder), as_json=True)
    assert json.loads(capsys.readouterr().out) == []
    line = change(folder / "policy.yaml", "stop: [{kind: requisition.intake_held}]", "stop: [{kind: nonsense}]")
    with pytest.raises((InvalidConfiguration, SystemExit)):
        check.run(Settings(deploy_dir=folder), as_json=True)
    (fault,) = json.loads(capsys.readouterr().out)
    assert str(line) in str(fault)


def told(folder: Path, file: str, said: str, mend: str) -> list[int]:
    """The lines of `file` at which a fault says so, each with its mend."""
    found = [fault for fault in faults(folder) if said in fault]
    assert found, faults(folder)
    assert all(mend in fault for fault in found), found
    places = [fault.split(": ")[0].rpartition(":") for fault in found]
    assert all(place[0].endswith(file) for place in places), found
    return [int(place[2]) for place in places]


def test_a_circle_of_contingencies_is_refused_at_its_lines_with_a_mend(folder: Path) -> None:
    stops = ("    stop: [{kind: requisition.intake_held}]", "    stop: [{kind: requisition.approved}]")  # from the top
    lines = [
        change(folder / "policy.yaml", stop, f"    contingent_on: {other}\n{stop}")
        for stop, other in zip(stops, ("provide_role_information", "hold_intake"), strict=True)
    ]
    assert told(folder, "policy.yaml", "waits for itself", "no clock would ever start; remove one") == sorted(lines)


def test_a_stop_that_no_source_can_tell_is_refused_at_its_line_with_a_mend(folder: Path) -> None:
    stop = "    stop: [{kind: requisition.intake_held}]"
    line = change(folder / "policy.yaml", stop, stop)
    text = (folder / "sources.yaml").read_text()
    for role in ("talent_acquisition", "hiring_manager", "approver"):
        text = text.replace(f"role: {role}", "role: api")
    (folder / "sources.yaml").write_text(text)
    assert told(folder, "policy.yaml", "no configured source can tell the stop of hold_intake", "or set enabled: false") == [line]


def test_windows_that_overlap_are_refused_at_their_line_with_a_mend(folder: Path) -> None:
    line = change(folder / "calendars.yaml", '"13:30-17:30"', '"12:00-17:30"')
    assert told(folder, "calendars.yaml", "begins before the one in front of it ends", "put them in order, apart") == [line]


def test_two_versions_of_one_date_are_refused_at_the_second_with_a_mend(folder: Path) -> None:
    text = (folder / "policy.yaml").read_text()
    stanza = """
  - name: hold_intake
    version: "2"
    side: talent_acquisition
    subject: requisition
    owner: recruiter
    start: [{kind: requisition.approved}]
    stop: [{kind: requisition.intake_held}]
    cycles: once
    target: {business_days: 2}
    objective: 0.9
"""
    (folder / "policy.yaml").write_text(text.rstrip("\n") + "\n" + stanza)
    line = text.rstrip("\n").count("\n") + 3
    assert told(folder, "policy.yaml", "commitment hold_intake from the beginning is already on line", "remove one") == [line]


PROMISE = """
  - name: {}
    version: "{}"
    effective_from: "{}"
    enabled: {}
    side: talent_acquisition
    subject: application
    owner: recruiter
    start: [{{kind: application.created}}]
    contingent_on: {}
    stop: [{{kind: offer.sent}}]
    target: {{business_days: 2}}
    objective: 0.9
"""


def added(folder: Path, *stanzas: tuple[str, str, str, str]) -> list[str]:
    """The faults with further stanzas: name, since when, whether enabled, and what it waits for."""
    path = folder / "policy.yaml"
    promises = (PROMISE.format(s[0], n, s[1], s[2], s[3]) for n, s in enumerate(stanzas))
    path.write_text(path.read_text() + "".join(promises))
    return [fault.split(": ", 1)[1] for fault in faults(folder)]


EARLY, JULY, AUGUST = "1970-01-01T00:00:00Z", "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"


@pytest.mark.parametrize(
    ("stanzas", "said"),
    [
        # a circle of versions that are followed by others
        ([("x", EARLY, "true", "y"), ("y", EARLY, "true", "x"), ("x", JULY, "true", "null")], "waits for itself: x -> y -> x"),
        ([("x", EARLY, "true", "y"), ("x", JULY, "true", "null"), ("y", EARLY, "true", "null"), ("y", JULY, "true", "x")], ""),
        # what is waited for ends, or both do, or it is still to begin
        (
            [("x", EARLY, "true", "y"), ("y", EARLY, "true", "null"), ("y", JULY, "false", "null")],
            "y is not in force from 2026-07",
        ),
        (
            [
                ("x", EARLY, "true", "y"),
                ("y", EARLY, "true", "null"),
                ("y", JULY, "false", "null"),
                ("x", JULY, "false", "null"),
            ],
            "",
        ),
        ([("x", EARLY, "true", "y"), ("y", JULY, "true", "null")], ""),
        # one instant written twice
        ([("x", EARLY, "true", "null"), ("x", "1970-01-01t02:00:00+02:00", "true", "null")], "x from the beginning is already"),
        ([("x", JULY, "true", "null"), ("x", JULY.lower(), "true", "null")], "x from 2026-07-01T00:00:00+00:00 is already"),
    ],
)
def test_versions_are_compared_where_they_are_in_force(folder: Path, stanzas: list[tuple[str, str, str, str]], said: str) -> None:
    found = added(folder, *stanzas)
    assert any(said in fault for fault in found) if said else not found, found


def test_stage_names_of_an_account_that_no_source_has_are_a_warning(folder: Path) -> None:
    line = change(folder / "stages.yaml", "accounts: {}", 'accounts:\n  greenhuose:\n    interview: ["Assessment"]')
    inspection = check.inspect(folder)
    assert not inspection.faults
    (warning,) = inspection.warnings.lines()
    assert f"stages.yaml:{line + 1}: no source is called greenhuose; add it to the sources or correct it" in warning


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_utf_8_is_said_with_its_line(folder: Path, file: str) -> None:
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content + b"# \xff\n")
    assert f"{folder / file}:{content.count(10) + 1}: is not UTF-8 at byte {len(content) + 2}; save it as UTF-8" in faults(folder)
