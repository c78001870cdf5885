"""The agreement as it is published on a real Kafka: once, immutable, without names; a changed past version is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams import check, health, ports, published
from streams.errors import InvalidConfiguration
from streams.process import tail
from streams.settings import ROOT, Settings
from tests.conftest import MakeTopics
from tests.waiting import until
from tests.workers import Heard, running

pytestmark = pytest.mark.kafka

AT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def settings(topics: MakeTopics, tmp_path: Path) -> Iterator[Settings]:
    for name in ("policy.yaml", "calendars.yaml", "people.yaml", "stages.yaml", "sources.yaml"):
        (tmp_path / "deploy").mkdir(exist_ok=True)
        shutil.copy(ROOT / "deploy" / name, tmp_path / "deploy" / name)
    yield replace(topics(), deploy_dir=tmp_path / "deploy")


def change(settings: Settings, file: str, old: str, new: str) -> int:
    """Replaces the first `old`, and gives the line it is on."""
    path = settings.deploy_dir / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_it_is_published_once_and_without_names_or_contacts(settings: Settings) -> None:
    assert published.publish(settings, AT) > 16
    assert published.publish(settings, AT) == 0
    found = published.read(settings)
    assert {one.kind for one in found} == {"policy", "commitment", "calendars", "calendar", "people"}
    assert len({published.key(one) for one in found}) == len(found)
    text = "".join(one.model_dump_json() for one in found)
    assert "Annika" not in text
    assert "@example.com" not in text
    agreement = check.load_agreement(settings.deploy_dir)
    assert agreement.policy_version.rpartition("+")[2] in {one.content_hash for one in found}
    assert agreement.people.version in {one.content_hash for one in found}


def test_a_changed_past_version_is_refused_with_file_line_and_mend(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    published.publish(settings, AT)
    line = change(settings, "policy.yaml", "  - name: hold_intake", "  - name: hold_intake")
    change(settings, "policy.yaml", "target: {business_days: 3}", "target: {business_days: 4}")
    calendar = change(settings, "calendars.yaml", '"13:30-17:30"', '"13:30-18:00"')
    with pytest.raises(InvalidConfiguration) as refused:
        published.publish(settings, AT)
    (policy_fault,) = [fault for fault in refused.value.faults if "policy.yaml" in fault]
    assert f"policy.yaml:{line}: commitment hold_intake, version 1, was published on 2026-06-01" in policy_fault
    assert "in a version of its own, with an effective_from that is still to come" in policy_fault
    calendar_fault = next(fault for fault in refused.value.faults if "calendars.yaml" in fault)
    assert 0 <= calendar - int(calendar_fault.split(": ")[0].rpartition(":")[2]) <= 8, "the stanza's first line"
    with pytest.raises(InvalidConfiguration) as checked:
        check.run(settings, as_json=False, now=AT)
    assert checked.value.faults == refused.value.faults
    check.run(settings, as_json=True)  # without a time nothing is compared
    assert capsys.readouterr().out.strip() == "[]"


def test_a_new_version_a_future_one_and_a_description_may_be_changed(settings: Settings) -> None:
    published.publish(settings, AT)
    change(settings, "policy.yaml", "description: TA and the manager hold the intake", "description: Both hold the intake")
    stanza = """
  - name: hold_intake
    version: "2"
    effective_from: 2026-07-01T00:00:00Z
    side: talent_acquisition
    subject: requisition
    owner: recruiter
    start: [{kind: requisition.approved}]
    stop: [{kind: requisition.intake_held}]
    cycles: once
    target: {business_days: 2}
    objective: 0.9
"""
    path = settings.deploy_dir / "policy.yaml"
    path.write_text(path.read_text().rstrip("\n") + "\n" + stanza)
    assert published.publish(settings, AT) == 2, "the stanza, and the whole policy"
    before, _, rest = path.read_text().rpartition("target: {business_days: 2}")
    path.write_text(f"{before}target: {{business_days: 1}}{rest}")
    assert published.publish(settings, AT) == 2
    july = datetime(2026, 7, 1, tzinfo=UTC)
    path.write_text(
        path.read_text().replace(
            'version: "2"\n    effective_from: 2026-07-01', 'version: "2"\n    weight: 2\n    effective_from: 2026-07-01'
        )
    )
    with pytest.raises(InvalidConfiguration, match="hold_intake, version 2"):
        published.publish(settings, july)


def test_explain_can_name_what_a_version_said(settings: Settings) -> None:
    published.publish(settings, AT)
    agreement = check.load_agreement(settings.deploy_dir)
    found = published.described(settings, "hold_intake", "1", agreement.policy_version, "de-berlin")
    assert {one.kind for one in found} == {"commitment", "policy", "calendar"}
    (stanza,) = [one for one in found if one.kind == "commitment"]
    assert stanza.content["target"]["business_days"] == 3


def test_a_file_that_is_in_force_again_is_the_last_one_published(settings: Settings) -> None:
    published.publish(settings, AT)
    change(settings, "policy.yaml", 'version: "2026.1"', 'version: "2026.2"')
    assert published.publish(settings, AT) == 1
    change(settings, "policy.yaml", 'version: "2026.2"', 'version: "2026.1"')
    assert published.publish(settings, AT) == 1
    assert published.publish(settings, AT) == 0
    assert [one.version for one in published.read(settings) if one.kind == "policy"][-2:] == ["2026.2", "2026.1"]
    agreement = check.load_agreement(settings.deploy_dir)
    found = published.described(settings, "hold_intake", "1", agreement.policy_version, "de-berlin")
    assert [one.kind for one in found].count("policy") == 1


def test_a_large_company_is_published(settings: Settings) -> None:
    path = settings.deploy_dir / "people.yaml"
    more = [
        f'  - {{key: q-{n}, name: Somebody {n}, team: platform, identities: {{greenhouse: ["9{n}"]}}}}' for n in range(12_000)
    ]
    path.write_text("\n".join([path.read_text().rstrip("\n"), *more]))
    published.publish(settings, AT)
    (people,) = [one for one in published.read(settings) if one.kind == "people"]
    assert len(people.content["people"]) > 12_000


def test_a_track_worker_started_by_itself_publishes_and_refuses_before_it_works(settings: Settings) -> None:
    settings = replace(settings, track_metrics_port=ports.free(None, settings.host))
    with running(settings, "worker", "track") as worker:
        until(lambda: health.answers(f"http://{settings.host}:{settings.track_metrics_port}/readyz"), worker)
    assert worker.exit_code == 0
    assert {one.kind for one in published.read(settings)} == {"policy", "commitment", "calendars", "calendar", "people"}
    change(settings, "policy.yaml", "- name: hold_intake", "- name: hold_intakes")
    with running(settings, "worker", "track") as worker:
        until(lambda: not worker.alive())
    assert worker.exit_code == 78
    assert "commitment hold_intake, version 1, was published" in tail(worker.log)
    assert Heard(settings).listen().outcomes == []
