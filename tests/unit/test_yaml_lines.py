"""What YAML does behind one's back is a fault with a line and a mend; nothing a file says makes the check itself fail."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.calendar import CalendarFile
from streams import check
from streams.yaml_lines import Faults, parse, read

DEPLOY = Path(__file__).parents[2] / "deploy"
CALENDAR = """version: "1"
calendars:
  - name: here
    zone: Europe/Berlin
    windows: {mon: ["09:00-17:00"]}
"""


def bomb(line: str, times: int = 9) -> str:
    """Lists of the list before, so many times over."""
    first = line.format(0, 0, ",".join("x" * times))
    return first + "".join(line.format(n, n, ",".join([f"*a{n - 1}"] * times)) for n in range(1, 9))


def said_of(folder: Path, text: str | bytes) -> list[str]:
    """The faults of a calendar file, without the file's name."""
    path = folder / "calendars.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    faults = Faults()
    node = read(path, faults)
    if node is not None:
        parse(CalendarFile, node)
    return [f"{line}: {what}" for _, line, what in faults.ordered()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            CALENDAR + "    holidays: {country: NO}\n",
            "6: calendars[#1].holidays.country must be text, but YAML reads it as the boolean",
        ),
        (CALENDAR + "    on: 1\n", '6: the key on is read by YAML as the boolean true; put it in quotes: "on"'),
        (CALENDAR + "    zone: Asia/Tokyo\n", "6: zone is written twice in one mapping"),
        (CALENDAR.replace('"1"', "1.0"), "1: version must be text, but YAML reads it as the number 1.0; put it in quotes"),
        (CALENDAR.replace('["09:00-17:00"]', "[9:30]"), "a window is written HH:MM-HH:MM, not '9:30'"),  # not in base sixty
        (CALENDAR.replace('"1"', "010"), "1: 010 is read in base eight by some"),
        (CALENDAR.replace("Europe/Berlin", "!!timestamp abc"), "4: 'abc' is not a value (it does not fit"),
        (CALENDAR.replace("Europe/Berlin", "!!bool maybe"), "4: 'maybe' is not a value"),
        (CALENDAR.replace("Europe/Berlin", '!!binary "====="'), "4: '=====' is not a value"),
        (CALENDAR.replace("Europe/Berlin", '!!binary "YWJj"'), "4: 'YWJj' is not a value"),
        (CALENDAR.replace("Europe/Berlin", '!!int ""'), "4: '' is not a value"),
        (CALENDAR + '    exceptions: {2026-12-24: [], "2026-12-24": []}\n', "6: 2026-12-24 is written twice"),
        (CALENDAR + "    <<: {zone: Asia/Tokyo}\n", "4: zone is in what `<<` merges too, and overriding it is not supported"),
        (CALENDAR + '    closed: "2026\n\n# end\n', "6: is not YAML: the quote that begins here is not closed"),
        (CALENDAR + "    closed: " + "[" * 101 + "]" * 101, "6: is nested deeper than 100 levels"),
        (CALENDAR + "    closed: " + "[" * 100_000 + "]" * 100_000, "6: is nested deeper than 100 levels"),
        (CALENDAR + bomb("{}: &a{} [{}]\n"), "11: aliases repeat more than 500000 values"),
        (CALENDAR + bomb("{}: &a{} [[[[[[[[[[[[[{}]]]]]]]]]]]]]\n", 1), "13: is nested deeper than 100 levels"),
        (CALENDAR + "    effective_from: 2026-07-01\n", "6: calendars[#1].effective_from has no time zone"),
        (CALENDAR + "    closed: [2026-02-30]\n", "6: '2026-02-30' is not a value"),
        (CALENDAR + "    colour: red\n", "6: calendars[#1].colour is not a key here"),
        (CALENDAR + '    "a\\nb": red\n', "6: calendars[#1].a\\nb is not a key here"),
        (CALENDAR.replace("    zone: Europe/Berlin\n", ""), "3: calendars[#1].zone is missing; add it"),
        (CALENDAR + "    closed: &a [*a]\n", "6: an alias contains itself"),
        (CALENDAR + "    ? [a, b]\n    : 1\n", "6: a key is a list or a mapping"),
        (CALENDAR + "    closed: !!python/object:os.system {}\n", "6: calendars[#1].closed"),
        (CALENDAR + "    closed: [\n", "7: is not YAML: "),
        ("", "1: is empty"),
        ("[1, 2]", "1: the file must be a mapping"),
        (b"version: \xff\n", "1: is not UTF-8 at byte 9"),
        (CALENDAR.encode() + b"# \xff\n", "6: is not UTF-8"),
        ("version: \x07\n", "1: is not YAML: "),
        (CALENDAR + "# \x07\n", "6: is not YAML: "),
    ],
)
def test_what_yaml_hides_is_said(tmp_path: Path, text: str | bytes, said: str) -> None:
    found = said_of(tmp_path, text)
    assert any(said in fault for fault in found), found


def test_a_good_file_has_no_faults_and_merged_keys_are_kept(tmp_path: Path) -> None:
    assert said_of(tmp_path, CALENDAR) == []
    path = tmp_path / "merged.yaml"
    path.write_text("base: &b {zone: Europe/Berlin}\nown: {<<: *b, name: here}\n")
    node = read(path, Faults())
    assert node is not None and node["own"].value == {"zone": "Europe/Berlin", "name": "here"}


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    faults = Faults()
    assert read(tmp_path / "policy.yaml", faults) is None
    assert "cannot be read" in faults.lines()[0]


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.just("09:00-12:00")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=6), st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, part in inner for deeper in places(part, (*place, key)))]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["policy.yaml", "calendars.yaml", "people.yaml", "sources.yaml"]), st.data())
def test_whatever_a_file_says_the_check_answers(file: str, data: st.DataObject) -> None:
    """One part of a good file replaced by anything: faults, or none, but never an error of the check itself."""
    value = yaml.safe_load((DEPLOY / file).read_text())
    place = data.draw(st.sampled_from(places(value)[1:]))
    target = value
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = data.draw(junk)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in DEPLOY.glob("*.yaml"):
            shutil.copy(path, folder / path.name)
        (folder / file).write_text(yaml.safe_dump(value, allow_unicode=True))
        inspection = check.inspect(folder)
    assert inspection.faults or inspection.agreement is not None
