"""The month and its statement: bounds, rounding, small cells, control totals and adjustments, without a database."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from schemas.directory import Company, Directory, Person, Team
from schemas.policy import Policy
from schemas.statement import VERDICTS, Cell, Statement
from streams import statement_files
from streams.check import load_agreement
from streams.directory import People
from streams.period import InvalidPeriod, Period
from streams.settings import ROOT
from streams.statement import HOUR_US, Entry, Known, adjusted, adjustments, build, disagreements, hours, ratio
from streams.statement_cells import BOTH, COMPANY, EVERYTHING, OTHER, publish

MAY = Period.month("2026-05", "Europe/Berlin")
AT = datetime(2026, 5, 12, 10, tzinfo=UTC)
KNOWN = Known(until=datetime(2026, 6, 1, tzinfo=UTC))
PEOPLE = People.from_directory(
    Directory(
        version="1",
        company=Company(name="Example", calendar="c"),
        teams=(
            Team(key="platform", name="Platform", department="Engineering"),
            Team(key="data", name="Data", department="Engineering"),
            Team(key="design", name="Design", department="Product"),
        ),
        people=(Person(key="p-1", name="A", team="platform"),),
    )
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_agreement(ROOT / "deploy").policy


def entry(number: int, verdict: str = "met", **changes: object) -> Entry:
    values: dict[str, object] = {
        "obligation_id": f"review_candidate:greenhouse/1:{number}:1",
        "team": "platform",
        "side": "hiring_manager",
        "commitment": "review_candidate",
        "commitment_version": "1",
        "owner": f"p-{number % 6}",
        "verdict": verdict,
        "deadline": AT,
        "turnaround_us": number * HOUR_US if verdict in ("met", "missed") else None,
        "uncertain": False,
        "revision_no": 1,
        "learned_at": AT,
        "policy_version": "p1",
        "calendar_version": "c1",
        "people_version": "d1",
    }
    return Entry(**(values | changes))  # type: ignore[arg-type]


# -- the month -------------------------------------------------------------------------------------------------------


def test_a_month_is_half_open_at_local_midnight_across_daylight_saving() -> None:
    march = Period.month("2026-03", "Europe/Berlin")  # begins in winter time, ends in summer time
    assert (march.start, march.end) == (datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC))
    october = Period.month("2026-10", "America/New_York")
    assert (october.start, october.end) == (datetime(2026, 10, 1, 4, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC))
    assert Period.month("2026-12", "Asia/Kolkata").end == datetime(2026, 12, 31, 18, 30, tzinfo=UTC)
    assert Period.of(datetime(2026, 5, 31, 22, tzinfo=UTC), "Europe/Berlin").name == "2026-06"


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-5", "2026", "May 2026", "0000-01", "0001-01", "2026-05-01", "9999-12", "２０２６-05"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeriod):
        Period.month(text, "UTC")


def test_the_last_instant_is_in_and_the_end_is_out(policy: Policy) -> None:
    inside = [entry(n, deadline=MAY.end - timedelta(microseconds=1)) for n in range(5)]
    said, lines = build([*inside, entry(5, deadline=MAY.end), entry(6, deadline=None)], MAY, policy, PEOPLE, KNOWN)
    assert (said.control.obligations, len(lines)) == (5, 5)


def test_a_department_is_that_of_the_months_beginning(policy: Policy) -> None:
    def known(since: datetime) -> People:
        moved = Team(key="platform", effective_from=since, name="Platform", department="Product")
        stanzas = (Team(key="platform", name="Platform", department="Engineering"), moved)
        return People.from_directory(Directory(version="1", company=Company(name="E", calendar="c"), teams=stanzas, people=()))

    departments = [build([entry(n) for n in range(6)], MAY, policy, known(at), KNOWN)[0].departments for at in (MAY.start, AT)]
    assert departments == [{"platform": "Product"}, {"platform": "Engineering"}]


# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 3, "0.3333"), (2, 3, "0.6667"), (1, 20000, "0.0000"), (3, 20000, "0.0002"), (5, 5, "1.0000"), (0, 7, "0.0000")],
)
def test_ratios_are_rounded_half_even_to_four_places(part: int, whole: int, expected: str) -> None:
    assert str(ratio(part, whole)) == expected


def test_a_ratio_of_nothing_is_no_figure() -> None:
    assert ratio(0, 0) is None


@pytest.mark.parametrize(("millihours", "expected"), [(1005, "1.00"), (1015, "1.02"), (1016, "1.02"), (0, "0.00")])
def test_hours_are_rounded_half_even_to_two_places(millihours: int, expected: str) -> None:
    assert str(hours(Fraction(millihours * HOUR_US, 1000))) == expected


def test_a_row_has_each_verdict_and_its_own_denominators(policy: Policy) -> None:
    verdicts = ["met"] * 7 + ["missed", "overdue", "cancelled", "excused", "excused", "unverified"]
    said, lines = build([entry(n, v) for n, v in enumerate(verdicts)], MAY, policy, PEOPLE, KNOWN)
    (row,) = said.rows
    assert [getattr(row, v) for v in VERDICTS] == [7, 1, 1, 1, 2, 1, 0]
    assert (row.n, row.adherence) == (9, Decimal("0.7778"))
    assert row.adherence_without_exceptions == Decimal("0.6364")  # 7 of 9 + 2
    assert row.cell == Cell(department="Engineering", side="hiring_manager", commitment="review_candidate")
    assert disagreements(said, lines) == []


def test_turnaround_is_mean_median_and_nearest_rank_p90_of_what_was_done(policy: Policy) -> None:
    took = [1, 2, 3, 4, 5, 6, 7, 8, 9, 50]
    listed = [entry(n, "met", turnaround_us=h * HOUR_US) for n, h in enumerate(took)] + [entry(11, "overdue")]
    (row,) = build(listed, MAY, policy, PEOPLE, KNOWN)[0].rows
    assert (row.turnarounds, row.mean_hours, row.median_hours, row.p90_hours) == (
        10,
        Decimal("9.50"),
        Decimal("5.50"),
        Decimal("9.00"),
    )
    (row,) = build(listed[:9], MAY, policy, PEOPLE, KNOWN)[0].rows
    assert (row.median_hours, row.p90_hours) == (Decimal("5.00"), Decimal("9.00"))


def test_the_index_needs_both_sides_and_five_people_on_each(policy: Policy) -> None:
    manager = [entry(n, "met" if n % 2 else "missed") for n in range(10)]
    recruiter = [
        entry(n, "met", side="talent_acquisition", commitment="first_slate", obligation_id=f"first_slate:{n}") for n in range(10)
    ]
    (index,) = build([*manager, *recruiter], MAY, policy, PEOPLE, KNOWN)[0].indices
    assert (index.talent_acquisition, index.hiring_manager) == (Decimal("1.0000"), Decimal("0.5000"))
    assert index.partnership_index == Decimal("0.6667")  # harmonic mean of 1 and 1/2
    few = [replace(one, owner=f"p-{n % 4}") for n, one in enumerate(recruiter)]
    (index,) = build([*manager, *few], MAY, policy, PEOPLE, KNOWN)[0].indices
    assert (index.talent_acquisition, index.partnership_index) == (None, None)


def test_no_score_gives_away_the_few_whose_rows_are_not_published(policy: Policy) -> None:
    """Six people's feedback has its own row; with the score beside it, how one manager decided could be worked out."""
    feedback = [entry(n, commitment="submit_feedback", obligation_id=f"submit_feedback:{n}") for n in range(12)]
    elsewhere = [entry(n, team="design", commitment="decide", obligation_id=f"decide:{n}", owner=f"q-{n}") for n in range(5)]
    one = [entry(n, "missed", commitment="decide", obligation_id=f"decide:one:{n}", owner="p-0") for n in range(8)]
    scores = {i.department: i.hiring_manager for i in build([*feedback, *elsewhere], MAY, policy, PEOPLE, KNOWN)[0].indices}
    assert scores == {"Engineering": Decimal("1.0000"), "Product": Decimal("1.0000")}
    scores = {i.department: i.hiring_manager for i in build([*feedback, *elsewhere, *one], MAY, policy, PEOPLE, KNOWN)[0].indices}
    assert scores["Engineering"] is None


# -- small cells -------------------------------------------------------------------------------------------------------


def cell(department: str, commitment: str = "decide", side: str = "hiring_manager") -> Cell:
    return Cell(department=department, side=side, commitment=commitment)


def people(*numbers: int) -> frozenset[str]:
    return frozenset(f"p-{n}" for n in numbers)


def test_a_cell_of_five_people_stands_and_a_smaller_one_joins_its_department() -> None:
    owners = {cell("A"): people(1, 2, 3, 4, 5), cell("A", "review"): people(1, 2, 3), cell("A", "hold"): people(4, 5)}
    found = publish(owners)
    assert found is not None
    assert found[cell("A")] == cell("A")
    assert found[cell("A", "review")] == found[cell("A", "hold")] == cell("A", OTHER)


def test_what_a_department_cannot_fill_joins_the_company() -> None:
    owners = {cell("A"): people(1, 2, 3), cell("B"): people(4, 5), cell("C"): people(1, 2, 3, 4, 5)}
    found = publish(owners)
    assert found is not None
    assert found[cell("A")] == found[cell("B")] == cell(COMPANY, OTHER)
    assert found[cell("C")] == cell("C")


def test_a_remainder_takes_the_smallest_cell_with_it_so_that_nothing_can_be_subtracted() -> None:
    owners = {cell("A"): people(1, 2, 3, 4, 5), cell("B"): people(*range(9)), cell("C"): people(7)}
    found = publish(owners)
    assert found is not None
    assert found[cell("A")] == found[cell("C")] == EVERYTHING
    assert found[cell("B")] == cell("B")


def test_a_company_of_four_has_no_figures_and_no_lines(policy: Policy, tmp_path: Path) -> None:
    assert publish({cell("A"): people(1, 2, 3, 4)}) is None
    said, lines = build([entry(n, owner=f"p-{n % 4}") for n in range(20)], MAY, policy, PEOPLE, KNOWN)
    assert said.withheld
    assert (said.rows, said.indices, said.control.obligations) == ((), (), 20)
    manifest = statement_files.write(said, lines, tmp_path)
    assert manifest["control_totals"] == {"obligations": 20, "without_deadline": 0}
    assert (tmp_path / "obligations.csv").read_text().count("\n") == 1


# -- reconciliation ------------------------------------------------------------------------------------------------------


def test_a_row_that_was_tampered_with_is_found(policy: Policy) -> None:
    said, lines = build([entry(n) for n in range(8)], MAY, policy, PEOPLE, KNOWN)
    wrong = said.rows[0].model_copy(update={"met": 9})
    assert disagreements(said.model_copy(update={"rows": (wrong,)}), lines) == ["met: rows say 9, lines 8, the control total 8"]
    assert disagreements(said, lines[1:])


def test_the_content_hash_is_of_what_is_said_not_of_when(policy: Policy) -> None:
    listed = [entry(n) for n in range(8)]
    first, _ = build(listed, MAY, policy, PEOPLE, KNOWN)
    later, _ = build(reversed(listed), MAY, policy, PEOPLE, Known(until=AT + timedelta(days=90), position={"x:0": 9}))
    other, _ = build([*listed[1:], entry(0, "missed", turnaround_us=0)], MAY, policy, PEOPLE, KNOWN)
    assert first.content_sha256 == later.content_sha256 != other.content_sha256


# -- adjustments ---------------------------------------------------------------------------------------------------------


def adjust(
    policy: Policy, closed: list[Entry], now: list[Entry], then: list[Entry] | None = None
) -> tuple[Statement, list[tuple[int, str, str]]]:
    said, lines = build(closed, MAY, policy, PEOPLE, KNOWN)
    known = {e.obligation_id: e for e in (closed if then is None else then)}
    found = adjustments(said, lines, known, {e.obligation_id: e for e in now}, PEOPLE)
    return said, [(one.sign, one.verdict, one.cause) for one in found]


def test_a_late_fact_is_a_pair_and_the_rest_is_silent(policy: Policy) -> None:
    closed = [entry(n) for n in range(6)]
    changed = [*closed[1:], replace(closed[0], verdict="missed", revision_no=2)]
    assert adjust(policy, closed, changed)[1] == [(-1, "met", "late fact"), (1, "missed", "late fact")]
    assert adjust(policy, closed, [replace(e, revision_no=9) for e in closed])[1] == []


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"verdict": "missed", "policy_version": "p2"}, "policy p1 -> p2"),
        ({"verdict": "missed", "calendar_version": "c2"}, "calendar changed (c1 -> c2)"),
        ({"verdict": "missed", "people_version": "d2"}, "people file changed (d1 -> d2)"),
        ({"verdict": "excused"}, "exception approved"),
    ],
)
def test_the_cause_of_an_adjustment_is_named(policy: Policy, changes: dict[str, str], cause: str) -> None:
    closed = [entry(n) for n in range(6)]
    _, found = adjust(policy, closed, [*closed[1:], replace(closed[0], **changes)])  # type: ignore[arg-type]
    assert [one[2] for one in found] == [cause, cause]


def test_deadlines_that_move_across_the_end_of_the_month_are_single_halves(policy: Policy) -> None:
    closed = [entry(n) for n in range(6)]
    gone = replace(closed[0], deadline=MAY.end)
    vanished = replace(closed[1], deadline=None)
    came = entry(7, "missed")
    elsewhere = replace(came, deadline=MAY.end + timedelta(days=1))
    _, found = adjust(policy, closed, [gone, vanished, *closed[2:], came], [*closed, elsewhere])
    out = (-1, "met", "deadline moved out of the period")
    assert found == [out, out, (1, "missed", "deadline moved into the period")]
    _, found = adjust(policy, closed, [*closed, came])
    assert found == [(1, "missed", "late fact: the obligation was not known at the close")]


def test_what_a_closed_source_caught_up_with_is_said_so(policy: Policy) -> None:
    closed = [entry(0, "unverified"), *(entry(n) for n in range(1, 6))]
    _, found = adjust(policy, closed, [entry(0, "met"), *closed[1:]])
    assert found == [(-1, "unverified", "the source caught up"), (1, "met", "the source caught up")]


def test_a_new_cell_of_few_people_is_adjusted_for_the_company_only(policy: Policy) -> None:
    closed = [entry(n) for n in range(6)]
    said, lines = build(closed, MAY, policy, PEOPLE, KNOWN)
    stranger = entry(9, "missed", team="design")
    (change,) = adjustments(said, lines, {}, {e.obligation_id: e for e in [*closed, stranger]}, PEOPLE)
    assert change.cell == Cell(department=COMPANY, side=BOTH, commitment=OTHER)
    assert adjusted(said, [change])[EVERYTHING].missed == 1


# -- files ---------------------------------------------------------------------------------------------------------------


def test_all_files_say_the_same_and_name_nobody(policy: Policy, tmp_path: Path) -> None:
    verdicts = Counter({"met": 30, "missed": 6, "overdue": 2, "excused": 1})
    listed = [entry(n, v) for n, v in enumerate(verdicts.elements())]
    said, lines = build(listed, MAY, policy, PEOPLE, KNOWN)
    statement_files.write(said, lines, tmp_path)
    (as_csv,) = csv.DictReader(io.StringIO((tmp_path / "statement.csv").read_text()))
    (as_parquet,) = pq.read_table(tmp_path / "statement.parquet").to_pylist()
    sheet = openpyxl.load_workbook(tmp_path / "statement.xlsx")["Statement"]
    as_xlsx = dict(zip(*([c.value for c in row] for row in sheet.iter_rows()), strict=True))
    assert as_csv["adherence"] == "0.7895" == str(as_parquet["adherence"])
    assert (as_csv["met"], as_parquet["met"], as_xlsx["met"]) == ("30", 30, 30)
    assert as_xlsx["adherence"] == pytest.approx(0.7895)
    printed = list(csv.DictReader(io.StringIO((tmp_path / "obligations.csv").read_text())))
    assert Counter(line["verdict"] for line in printed) == verdicts
    assert printed[0]["deadline_utc"] == "2026-05-12T10:00:00+00:00"
    assert printed[0]["deadline_local"] == "2026-05-12T12:00:00+02:00"
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.suffix in (".csv", ".json"))
    for secret in (b"p-1", b"greenhouse", b"review_candidate:"):
        assert secret not in everything
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["files"]["obligations.csv"]["rows"] == 39 == manifest["control_totals"]["obligations"]


def test_the_files_are_the_same_to_the_byte(policy: Policy, tmp_path: Path) -> None:
    listed = [entry(n) for n in range(12)]
    for name, order in (("one", listed), ("two", listed[::-1])):
        statement_files.write(*build(order, MAY, policy, PEOPLE, KNOWN), tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["index.csv", "manifest.json", "obligations.csv", "statement.csv", "statement.parquet", "statement.xlsx"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    with zipfile.ZipFile(tmp_path / "one" / "statement.xlsx") as book:
        assert {info.date_time for info in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"1980-01-01T00:00:00Z" in book.read("docProps/core.xml")


def with_department(name: str) -> People:
    team = Team(key="platform", name="x", department=name)
    return People.from_directory(
        Directory(
            version="1",
            company=Company(name="x", calendar="c"),
            teams=(team,),
            people=(Person(key="p", name="x", team="platform"),),
        )
    )


def test_a_name_that_looks_like_a_formula_stays_text(policy: Policy, tmp_path: Path) -> None:
    said, lines = build([entry(n) for n in range(6)], MAY, policy, with_department("=1+1"), KNOWN)
    statement_files.write(said, lines, tmp_path)
    assert ",'=1+1," in (tmp_path / "statement.csv").read_text()
    assert openpyxl.load_workbook(tmp_path / "statement.xlsx")["Statement"]["B2"].data_type == "s"


def test_a_name_with_a_control_character_closes_all_the_same(policy: Policy, tmp_path: Path) -> None:
    said, lines = build([entry(n) for n in range(6)], MAY, policy, with_department("A\aB"), KNOWN)
    statement_files.write(said, lines, tmp_path)
    assert openpyxl.load_workbook(tmp_path / "statement.xlsx")["Statement"]["B2"].value == "A\N{REPLACEMENT CHARACTER}B"
