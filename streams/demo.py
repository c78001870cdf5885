"""`mutual-sla demo`: the whole pipeline on this machine, and a simulated company's months fed through its HTTP door.

In: settings and a seed. All roles share one clock, which the demo moves from half a year ago to now; then real time goes on,
owners of what is late are paged, last month is closed, and the figures are printed. Each run begins with an empty state
directory of its own (`demo` inside the state directory).
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.sources import SecretRef, Sources
from streams import close, demo_summary, demo_traffic, drain, ledger, supervisor
from streams.access import resolve
from streams.agreement import Agreement
from streams.check import load_agreement, load_sources
from streams.clock import FileClock, SystemClock
from streams.demo_pace import Pace
from streams.demo_traffic import Door, Sender
from streams.errors import InvalidConfiguration
from streams.paged import pages
from streams.period import Period
from streams.settings import Settings
from streams.simulated_company import ACCOUNT, Scale
from streams.simulated_feed import Delivery, Totals, feed
from streams.simulated_vendor import Vendor
from streams.simulation import History, simulate
from streams.supervisor import Running

MARKER = ".mutual-sla-demo"
DRAIN_SECONDS = 180.0  #: how long the pipeline may take for what was fed
PAGE_SECONDS = 30.0  #: how long the pager is waited for
QUIET_SECONDS = 6.0  #: no further page for so long: that was all
PIPED_WIDTH = 130
POLL_SECONDS = 60.0  #: between polls while the demo stays up
MAIL_GATEWAY = "mail-gateway"
REPORTERS = ("talent_acquisition", "hiring_manager")


@dataclass(slots=True)
class Phases:
    """How long each part of the demo took, seconds."""

    began: float = field(default_factory=monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = monotonic()
        yield
        self.seconds[name] = monotonic() - begin

    @property
    def elapsed(self) -> float:
        return monotonic() - self.began


def run(settings: Settings, *, seed: int, exit_after: bool, scale: Scale | None = None) -> demo_summary.Figures:
    """Run the demo and stay up until Ctrl-C, or end after the summary with `exit_after`; gives the figures it printed.

    Raises InvalidConfiguration if the state directory holds something that no demo made, and as `supervisor.start` does.
    """
    console, phases = _console(), Phases()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends the demo, what it started ends too
    settings = replace(settings, state_dir=settings.state_dir.resolve() / "demo", ledger_url="", topic_prefix="")
    agreement, sources = load_agreement(settings.deploy_dir), load_sources(settings.deploy_dir)
    now = SystemClock().now()
    with phases.phase("simulate"):
        history = simulate(agreement.people, agreement.calendars, now, seed, scale)
        identities = reporters(sources, agreement), approver(sources), mail_gateway(sources)
        deliveries = feed(history, Vendor(agreement.people), *identities, seed)
    supervisor.stop(settings)
    _wipe(settings.state_dir)
    clock = FileClock(settings.state_dir / "clock")
    clock.set(history.start)
    console.print(f"starting Kafka and every role in {settings.state_dir}; the clock says {history.start:%Y-%m-%d %H:%M} UTC")
    with phases.phase("start"):
        running = supervisor.start(settings, environment={"MUTUAL_SLA_CLOCK_FILE": str(clock.path)})
    with running:
        door = _door(running, sources)
        figures = _live(console, running, door, agreement, history, deliveries, clock, phases)
        _goodbye(console, running, phases, exit_after)
        if not exit_after:
            with suppress(KeyboardInterrupt):
                last = [delivery for delivery in deliveries if delivery.at == history.end]
                asyncio.run(demo_traffic.go_on(last, door, SystemClock().now, POLL_SECONDS))
            console.print("stopping")
    return figures


def _live(
    console: Console,
    running: Running,
    door: Door,
    agreement: Agreement,
    history: History,
    deliveries: list[Delivery],
    clock: FileClock,
    phases: Phases,
) -> demo_summary.Figures:
    """Months in seconds, then the present: feed, drain, close, pages, summary."""
    settings = running.settings
    with phases.phase("feed"):
        _feed(console, settings, door, deliveries, clock)
    with phases.phase("drain"):
        clock.release()
        drain.wait(settings, DRAIN_SECONDS, history.end)
    zone = agreement.policy.reporting_zone
    month = Period.of(Period.of(history.end, zone).start - timedelta(days=1), zone)
    with phases.phase("close"):
        close.run(settings, month.name, None, SystemClock().now())
    with phases.phase("pages"):
        _await_pages(settings)
    engine = ledger.open_ledger(settings.ledger)
    try:
        with ledger.snapshot(engine) as conn:
            figures = demo_summary.read(conn, settings, agreement, history.start, history.end, month)
    finally:
        engine.dispose()
    demo_summary.show(console, figures, Totals.of(deliveries), agreement.policy)
    demo_summary.show_statement(console, figures.statement, settings.state_dir / "statements" / month.name, figures.adjustments)
    through = phases.seconds["feed"] + phases.seconds["drain"]
    console.print(
        f"[bold]Through the whole pipeline[/]: {figures.raw:,} raw bodies and {figures.facts:,} facts in {through:.1f} s "
        f"(HTTP to ledger): {figures.raw / through:,.0f} raw bodies and {figures.facts / through:,.0f} facts a second"
    )
    return figures


def _feed(console: Console, settings: Settings, door: Door, deliveries: list[Delivery], clock: FileClock) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, Pace(settings, clock.now()) as pace:
        task = progress.add_task("feeding", total=len(deliveries))

        def sent(at: datetime) -> None:
            progress.update(task, advance=1, description=f"it is {at:%Y-%m-%d %H:%M}")

        asyncio.run(Sender(door, clock, pace).send(deliveries, sent))


def _await_pages(settings: Settings) -> None:
    """Wait until everything that is late was paged, or nothing more was for a while; half a minute at most.

    Where Prometheus or Alertmanager is not installed, nobody is paged.
    """
    if not (shutil.which("prometheus") and (shutil.which("prometheus-alertmanager") or shutil.which("alertmanager"))):
        return
    engine = ledger.connect(settings.ledger)
    try:
        with ledger.snapshot(engine) as conn:
            late = sum(load.overdue + load.due_soon for load in ledger.overdue_and_due_soon(conn, SystemClock().now()))
    finally:
        engine.dispose()
    end = monotonic() + PAGE_SECONDS
    number, since = 0, monotonic()
    while number < late and monotonic() < end:
        count = len(list(pages(settings)))
        if count != number:
            number, since = count, monotonic()
        if number and monotonic() - since > QUIET_SECONDS:
            return
        sleep(0.5)


def _goodbye(console: Console, running: Running, phases: Phases, exit_after: bool) -> None:
    """Times, addresses, and how to stop."""
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.seconds.items())
    console.print(f"[bold]{phases.elapsed:.0f} s in all[/]: {times}")
    if exit_after:
        return
    state = running.state()
    shown = [role for role in state.roles if role.name in ("prometheus", "alertmanager", "gateway", "api", "exporter", "pager")]
    for role in shown:
        console.print(f"  {role.name:13}{role.address}")
    directory = running.settings.state_dir
    console.print(f"  mail that was sent: {directory / 'outbox'}", soft_wrap=True)
    console.print(f"  the API's token: MUTUAL_SLA_TOKEN_API in {directory / 'secrets.json'}", soft_wrap=True)
    console.print(f"[bold]Ctrl-C stops everything[/] (from elsewhere: mutual-sla down --state-dir {directory})", soft_wrap=True)


def reporters(sources: Sources, agreement: Agreement) -> dict[str, str]:
    """Team -> the identity that may report facts and belongs to it."""
    known = {agreement.people.team_of(token.identity): token.identity for token in sources.tokens if token.role in REPORTERS}
    return {team: identity for team, identity in known.items() if team}


def approver(sources: Sources) -> str:
    """Who approves exceptions. Raises InvalidConfiguration if nobody may."""
    return _identity(sources, "approver")


def mail_gateway(sources: Sources) -> str:
    """Who reports that candidates were written to. Raises InvalidConfiguration if nobody may."""
    if not any(token.identity == MAIL_GATEWAY and token.role in REPORTERS for token in sources.tokens):
        raise InvalidConfiguration([f"sources.yaml: the demo needs a token with identity {MAIL_GATEWAY} that may report facts"])
    return MAIL_GATEWAY


def _identity(sources: Sources, role: str) -> str:
    found = next((token.identity for token in sources.tokens if token.role == role), None)
    if found is None:
        raise InvalidConfiguration([f"sources.yaml: the demo needs a token with role {role}"])
    return found


def _door(running: Running, sources: Sources) -> Door:
    settings = running.settings
    account = next(account for account in sources.accounts if account.account == ACCOUNT)
    return Door(
        url=f"http://{settings.host}:{settings.gateway_port}",
        webhook_secret=_secret(account.webhook_secrets[0], running.secrets, settings.deploy_dir),
        tokens={token.identity: _secret(token.token, running.secrets, settings.deploy_dir).decode() for token in sources.tokens},
        extractor=_identity(sources, "extractor"),
    )


def _secret(reference: SecretRef, secrets: Mapping[str, str], base: Path) -> bytes:
    return secrets[reference.env].encode() if reference.env else resolve(reference, base)


def _console() -> Console:
    """The terminal; where there is none, lines wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def _wipe(directory: Path) -> None:
    """An empty directory with the demo's mark. Raises InvalidConfiguration rather than delete what no demo made."""
    if directory.exists():
        if any(directory.iterdir()) and not (directory / MARKER).exists():
            raise InvalidConfiguration([f"{directory} holds something that no demo made: give another --state-dir"])
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / MARKER).touch()
