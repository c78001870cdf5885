"""From the ledger to an owner's contact through a real Prometheus and a real Alertmanager, and what must not be sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest

from tests.installation import Installation, Sink, now
from tests.monitored import Monitored, installation
from tests.waiting import until

pytestmark = pytest.mark.prometheus


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def started(here: Installation, folder: Path) -> Monitored:
    stack = Monitored(here, folder)
    try:
        stack.role("exporter")
        stack.role("pager")
        stack.alertmanager()
        stack.prometheus()
    except BaseException:
        stack.__exit__()
        raise
    return stack


def test_an_overdue_obligation_pages_its_owner_and_resolves_when_the_answer_arrives(tmp_path: Path, sink: Sink) -> None:
    here = installation(tmp_path, sink)
    here.submitted("a1", 0, now() - timedelta(hours=50))
    here.submitted("b1", 1, now() - timedelta(hours=1))
    here.judge(now())
    with started(here, tmp_path):
        page = until(lambda: sink.to("/m0"))[0]
        assert page["kind"] == "page"
        assert "greenhouse/a1" in page["text"]
        here.happened("application.rejected", "a1", 0, now())
        here.judge(now())
        ended = until(lambda: sink.to("/m0")[1:])[0]
        assert ended["kind"] == "ended"
        assert "done at" in ended["text"]
        sleep(6)  # longer than Alertmanager's repeat interval here
        assert [m["kind"] for m in sink.to("/m0")] == ["page", "ended"]
        assert sink.to("/m1") == [], "nothing of theirs is due soon"


def test_a_dead_exporter_resolves_nothing_starts_nothing_and_the_end_is_told_once_it_is_back(tmp_path: Path, sink: Sink) -> None:
    here = installation(tmp_path, sink)
    here.submitted("a1", 0, now() - timedelta(hours=50))
    here.judge(now())
    with started(here, tmp_path) as stack:
        until(lambda: sink.to("/m0"))
        stack.kill("exporter")
        until(lambda: [a for a in stack.alerts() if a["labels"]["alertname"] == "MutualSLAExporterDown"])
        (late,) = until(lambda: [a for a in stack.alerts() if a["labels"]["alertname"] == "MutualSLAOverdue"])
        until(lambda: stack.query('ALERTS{alertname="MutualSLAOverdue",alertstate="firing"}'))
        assert late["labels"]["owner"] == "m0"
        # another promise breaks and the first is settled, while nobody can see it
        here.submitted("b1", 1, now() - timedelta(hours=50))
        here.happened("application.rejected", "a1", 0, now())
        here.judge(now())
        sleep(8)
        assert [m["kind"] for m in sink.to("/m0")] == ["page"]
        assert sink.to("/m1") == []
        (muted,) = [a for a in stack.alerts() if a["labels"]["alertname"] == "MutualSLAOverdue"]
        assert muted["status"]["inhibitedBy"], "pages are on hold"
        stack.role("exporter")
        assert until(lambda: sink.to("/m1"))[0]["kind"] == "page"
        assert [m["kind"] for m in until(lambda: sink.to("/m0")[1:])] == ["ended"]


def test_many_owners_at_once_get_one_page_each(tmp_path: Path, sink: Sink) -> None:
    owners = 50
    here = installation(tmp_path, sink, managers=owners)
    for manager in range(owners):
        for number in range(3):
            here.submitted(f"a{manager}-{number}", manager, now() - timedelta(hours=49 + number))
    here.judge(now())
    with started(here, tmp_path) as stack:
        until(lambda: len({path for path, _, _ in sink.received if path.startswith("/m")}) == owners)
        sleep(6)
        pages = [(path, body) for path, body, _ in sink.received if path.startswith("/m")]
        assert len(pages) == owners
        assert all(len(body["obligations"]) == 3 for _, body in pages)
        assert len(stack.query('ALERTS{alertname="MutualSLAOverdue",alertstate="firing"}')) == owners
