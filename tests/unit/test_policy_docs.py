"""docs/policy.md says what is true: its examples are valid, its stories exist, and every story is told there."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import generate
from schemas.policy import Commitment, HolderRule, Policy
from streams.check import load_agreement, load_policy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/policy.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.S)
STORIES = {path.stem for path in (ROOT / "tests/scenarios").glob("*.yaml")}


def test_the_whole_example_passes_the_check(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(BLOCKS[0])
    assert [c.name for c in load_policy(path).commitments] == ["review_candidate"]


def test_somebody_changes_teams_as_shown(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if block.startswith("people:")]
    shown = yaml.safe_load(block)["people"]
    for name in ("policy.yaml", "calendars.yaml"):
        shutil.copy(ROOT / "deploy" / name, tmp_path / name)
    people = yaml.safe_load((ROOT / "deploy/people.yaml").read_text())
    others = [person for person in people["people"] if person["key"] != shown[0]["key"]]
    (tmp_path / "people.yaml").write_text(yaml.safe_dump({**people, "people": [*others, *shown]}))
    known = load_agreement(tmp_path).people
    since = shown[1]["effective_from"]
    assert [known.team_of(shown[0]["key"], at) for at in (since - timedelta(seconds=1), since)] == ["ta-emea", "ta-apac"]


@pytest.mark.parametrize("block", [b for b in BLOCKS[1:] if not b.startswith("people:")], ids=lambda b: b.split("\n")[0])
def test_every_stanza_passes_the_check_beside_the_demo_companys(block: str, tmp_path: Path) -> None:
    stanza = yaml.safe_load(block)
    policy = yaml.safe_load((ROOT / "deploy/policy.yaml").read_text())
    others = [c for c in policy["commitments"] if c["name"] != stanza["name"]]
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({**policy, "commitments": [*others, stanza]}))
    assert load_policy(path).commitments[-1].name == stanza["name"]


@pytest.mark.parametrize("model", [Policy, Commitment, HolderRule])
def test_every_key_of_the_language_is_explained(model: Any) -> None:
    missing = [name for name in model.model_fields if not re.search(rf"\b{name}\b", TEXT)]
    assert not missing


def test_every_story_is_told_and_exists() -> None:
    told = set(re.findall(r"[a-z]+(?:_[a-z0-9]+)+", TEXT.partition("each with its story")[2]))
    assert not STORIES - told - {"review_in_time"}
    rows = re.findall(r"\| ([a-z_, ]+) \|$", TEXT.partition("each with its story")[2], flags=re.M)
    named = {name for row in rows for name in row.split(", ") if "_" in name}
    assert named <= STORIES


def test_the_json_schemas_are_current() -> None:
    kept = {path.name: path.read_text() for path in generate.FOLDER.glob("*.schema.json")}
    assert kept == generate.documents(), "run `python -m schemas.generate`"
