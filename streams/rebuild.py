"""`mutual-sla rebuild`: the ledger recomputed from ats.facts on all cores, and compared with the ledger there is.

Every subject is judged once, from all its facts, instead of once an event; each process takes a share of the partitions. Nothing
is written unless `--apply` is given (`rebuild_apply`). What was done is kept in the state directory until the run has ended, so a
run that was broken off goes on with the partitions that are left.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import Engine

from streams import ledger_difference, ledger_writer, rebuild_apply, topics
from streams.agreement import Agreement
from streams.check import load_agreement, load_sources
from streams.errors import MutualSLAError
from streams.exclusive import exclusive
from streams.ledger_database import open_ledger, snapshot
from streams.ledger_finding import WORDS, Cause, Place, Strays
from streams.rebuild_partition import Offsets, Result, Share, begin, line_of, mark, recompute
from streams.settings import Settings
from streams.whole_topic import end_of, reader

PATIENCE = 60.0  #: seconds that a tracker or ledger writer that is behind is waited for
LISTED = 50  #: differences in the table; `--json` lists all
LOCK = "lock"
FORMAT = "2"  #: of the files in the folder
REST = "rest.jsonl"  #: what only who knows all partitions can find


class AnotherRebuild(MutualSLAError):
    """One at a time in a state directory."""

    exit_code = 69


class BrokenOff(MutualSLAError):
    """A process that recomputed was ended from outside, as by a lack of memory."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a rebuild found; `seconds` are of this run alone, and so is `read`."""

    records: int
    read: int
    subjects: int
    obligations: int
    seconds: float
    as_of: datetime | None
    causes: Counter[str]
    files: list[Path]

    @property
    def differences(self) -> int:
        return self.causes.total()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Each difference, as in `--json`."""
        listed = ("cause", "subject", "requisition_id", "application_id", "partition", "fields", "in_ledger", "by_facts")
        for path in self.files:
            with path.open("rb") as lines:
                for line in lines:
                    told = orjson.loads(line)
                    yield {name: told[name] for name in listed}


def run(settings: Settings, *, apply: bool, as_json: bool, workers: int | None, other_agreement: bool = False) -> int:
    """Print what differs, and mend it if `apply`; the exit code: 65 if differences were found and left.

    Raises InvalidConfiguration (the ledger of another Kafka too), Unreachable, Behind (the tracker or the ledger lags),
    AnotherRebuild.
    """
    with _folder(settings) as folder:
        console = Console(stderr=True)
        with Progress(console=console, transient=True) as progress:
            found = rebuild(settings, folder, progress, workers=workers)
        mended = _apply(settings, found, other_agreement=other_agreement) if apply and found.differences else 0
        if as_json:
            _print_json(found, mended)
        else:
            _show(found, mended, applied=apply)
        _clear(folder)
    return 0 if found.differences == mended else 65


def rebuild(
    settings: Settings, folder: Path, progress: Progress, *, workers: int | None = None, patience: float = PATIENCE
) -> Summary:
    """Recompute and compare every partition; what differs is in files of `folder`."""
    begun, agreement = monotonic(), load_agreement(settings.deploy_dir)
    load_sources(settings.deploy_dir)
    count = topics.partition_count(settings, "ats.facts")
    engine = open_ledger(settings.ledger)
    try:
        ledger_writer.refuse_another_log(settings, engine)
        _go_on_or_begin(folder, settings, agreement)
        todo = [n for n in range(count) if not (folder / f"{n}.result").exists()]
        _recompute_all([Share(settings, n, count, folder, patience) for n in todo], workers, progress)
        results = [Result.load(folder / f"{n}.result") for n in range(count)]
        rest = _across(settings, engine, results, folder)
    finally:
        engine.dispose()
    causes = sum((result.causes for result in results), rest)
    return Summary(
        records=sum(result.records for result in results),
        read=sum(result.records for result in results if result.partition in todo),
        subjects=sum(result.subjects for result in results),
        obligations=sum(result.obligations for result in results),
        seconds=monotonic() - begun,
        as_of=max((result.as_of for result in results if result.as_of), default=None),
        causes=causes,
        files=[*(folder / f"{n}.jsonl" for n in range(count)), folder / REST],
    )


# -- the folder of a run -----------------------------------------------------------------------------------------------


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    folder = settings.state_dir / "rebuild"
    with exclusive(folder / LOCK, AnotherRebuild(f"another rebuild is at work in {folder}")):
        yield folder


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != LOCK:
            path.unlink()


def _go_on_or_begin(folder: Path, settings: Settings, agreement: Agreement) -> None:
    """Keep what a broken run did, if it was about the same log, ledger and agreement, and of a release that left the same."""
    of = [FORMAT, settings.brokers, settings.topic(""), settings.app_id, settings.ledger, agreement.policy_version]
    of += [agreement.calendars.version, agreement.people.version]
    about, stored = orjson.dumps(of), folder / "about.json"
    if stored.exists() and stored.read_bytes() == about:
        return
    _clear(folder)
    stored.write_bytes(about)


# -- all partitions ----------------------------------------------------------------------------------------------------


def _recompute_all(shares: Sequence[Share], workers: int | None, progress: Progress) -> None:
    if not shares:
        return
    context = _processes()
    counters = context.Array("q", 2 * (1 + max(share.partition for share in shares)), lock=False)
    tasks = (progress.add_task("reading ats.facts"), progress.add_task("judging and comparing"))
    total = _records(shares)
    for task in tasks:
        progress.update(task, total=total)

    def show() -> None:
        for place, task in enumerate(tasks):
            progress.update(task, completed=sum(counters[place::2]))

    processes = min(workers or os.cpu_count() or 1, len(shares))
    if processes == 1:
        begin(counters)
        for share in shares:
            recompute(share)
            show()
        return
    with ProcessPoolExecutor(processes, mp_context=context, initializer=begin, initargs=(counters,)) as pool:
        left: set[Future[None]] = {pool.submit(recompute, share) for share in shares}
        try:
            while left:
                done, left = wait(left, timeout=0.5, return_when=FIRST_EXCEPTION)
                show()
                if any(future.exception() for future in done):
                    pool.shutdown(cancel_futures=True)
                for future in done:
                    future.result()
        except BrokenProcessPool:
            raise BrokenOff("a process of the rebuild was killed: run it again, it goes on with what is left") from None


def _processes() -> ForkServerContext:
    """How processes are begun: from one that has imported what they need and has no connections, unlike this one."""
    context = get_context("forkserver")
    context.set_forkserver_preload([recompute.__module__])
    return context


def _records(shares: Sequence[Share]) -> int:
    """About how many records there are to read."""
    settings = shares[0].settings
    with reader(settings) as consumer:
        return sum(end_of(consumer, settings.topic("ats.facts"), share.partition) for share in shares)


def _across(settings: Settings, engine: Engine, results: Sequence[Result], folder: Path) -> Counter[str]:
    """What no partition alone can tell: rows of which there are no facts, and applications that no requisition tells of so.

    A run that goes on looks anew, so what an earlier one sent of it counts for nothing.
    """
    (folder / REST).with_suffix(".sent").unlink(missing_ok=True)
    judged = {one for result in results for one in result.judged}
    causes: Counter[str] = Counter()
    names = {name for result in results for name in result.requisitions}
    strays = Strays()
    for result in results:
        strays.astray += result.strays.astray
        strays.claimed += result.strays.claimed
    with (folder / REST).open("wb") as out, reader(settings) as consumer, snapshot(engine) as conn:
        facts = settings.topic("ats.facts")
        places = {
            result.partition: Place(result.partition, result.end - 1, Offsets(consumer, facts, result.partition).have)
            for result in sorted(results, key=lambda result: result.as_of is None)  # first one that can be told of
        }
        told: set[str] = set()
        for line in (line for result in results for line in result.elsewhere):
            if mark(line["subject"], line.pop("other")) not in judged:
                told.add(line["subject"])
                causes[line["cause"]] += 1
                out.write(orjson.dumps(line) + b"\n")
        as_of = {result.partition: result.as_of for result in results}
        for found in ledger_difference.without_facts(conn, places, names, lambda a, r: mark(a, r) in judged, strays):
            if found.subject not in told:
                causes[found.cause] += 1
                out.write(orjson.dumps(line_of(found, places[found.partition], as_of[found.partition])) + b"\n")
    return causes


def _apply(settings: Settings, found: Summary, *, other_agreement: bool) -> int:
    mended = rebuild_apply.send(settings, found.files, other_agreement=other_agreement)
    engine = open_ledger(settings.ledger)
    try:
        if not rebuild_apply.written(settings, engine, topics.partition_count(settings, "ats.facts"), PATIENCE):
            Console(stderr=True).print("the ledger writer has not written all of it yet; it will when it runs")
    finally:
        engine.dispose()
    return mended


# -- words -------------------------------------------------------------------------------------------------------------


def _print_json(found: Summary, mended: int) -> None:
    told = {
        "as_of": found.as_of.isoformat() if found.as_of else None,
        "records": found.records,
        "subjects": found.subjects,
        "obligations": found.obligations,
        "seconds": round(found.seconds, 3),
        "events_per_second": round(found.read / found.seconds),
        "causes": dict(found.causes),
        "mended": mended,
        "differences": list(found.lines()),
    }
    json.dump(told, sys.stdout, indent=2)
    print()  # noqa: T201


def _show(found: Summary, mended: int, *, applied: bool) -> None:
    console = Console()
    speed = f"{found.read / found.seconds:,.0f} records/s"
    console.print(
        f"{found.records:,} records, {found.obligations:,} obligations, {found.seconds:.1f} s ({speed})", highlight=False
    )
    if not found.differences:
        console.print(f"the ledger is what the facts give, as of {found.as_of.isoformat() if found.as_of else 'never'}")
        return
    table = Table("cause", "subject", "in the ledger", "by the facts", "differs in")
    for number, line in enumerate(found.lines()):
        if number == LISTED:
            break
        told = [line["in_ledger"] or "–", line["by_facts"] or "–", ", ".join(line["fields"][:6])]
        table.add_row(line["cause"], line["subject"], *told)
    console.print(table)
    for cause, number in found.causes.most_common():
        console.print(f"{number:8,} {cause}: {WORDS[Cause(cause)]}", highlight=False)
    if found.differences > LISTED:
        console.print(f"{found.differences - LISTED:,} more than are listed; --json lists all", highlight=False)
    console.print(f"{mended:,} mended" if applied else "nothing was written; --apply mends the ledger", highlight=False)
    if applied and mended < found.differences:
        console.print("what another agreement judged is left as it is, unless --other-agreement is given")
