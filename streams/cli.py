"""The `mutual-sla` command: one verb a job, each imported only when it is called so that `--help` is instant.

Exit codes: 0 done, 2 bad usage, 65 bad data, 69 unreachable service or no room on a disk, 78 bad configuration.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from streams import clock, settings
from streams.errors import InvalidConfiguration, MutualSLAError, Unreachable
from streams.period import YEARS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Mutual service levels in hiring: both sides' promises, kept or not, from the ATS's own facts.",
)
exception_app = typer.Typer(no_args_is_help=True, help="Exceptions: asked for by one person, approved by another.")
rejected_app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be used, and putting it back.")
app.add_typer(rejected_app, name="rejected")
app.add_typer(exception_app, name="exception")

StateDir = Annotated[Path | None, typer.Option("--state-dir", help="data and logs of everything `up` starts")]
Brokers = Annotated[str | None, typer.Option("--brokers", help="use this Kafka instead of the embedded one")]
DeployDir = Annotated[Path | None, typer.Option("--deploy-dir", help="where policy.yaml and its siblings are")]


def _readable(paths: list[Path] | None) -> list[Path] | None:
    for path in paths or ():
        if str(path) != "-" and (path.is_dir() or not os.access(path, os.R_OK)):
            raise typer.BadParameter(f"file {str(path)!r} {'cannot be read' if path.exists() else 'does not exist'}")
    return paths


#: Files that are read; - is standard input, which Typer's own `allow_dash` does not know where paths are asked for.
READ: dict[str, Any] = {"callback": _readable}
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]


def _settings(**overrides: Any) -> settings.Settings:
    """Flags, then the environment, then the addresses of what `up` runs in this state directory, then the defaults."""
    from streams import logs, run_state

    try:
        configured = run_state.adopt(settings.from_environment(**overrides))
        logs.configure(configured.log_level)
    except ValueError as error:
        raise InvalidConfiguration([str(error)]) from error
    return configured


def _instant(text: str) -> datetime:
    """An ISO-8601 instant; a date alone is its first instant in UTC; a time without a zone is refused."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an ISO-8601 time such as 2026-05-04T09:00:00Z") from None
    if moment.tzinfo is None:
        if len(text) > 10:
            raise typer.BadParameter(f"{text!r} has no time zone; write {text}Z for UTC")
        moment = moment.replace(tzinfo=UTC)
    if moment.year not in YEARS:
        raise typer.BadParameter(f"{text!r} is not between {YEARS.start} and {YEARS.stop - 1}")
    return moment.astimezone(UTC)


# -- the whole thing on this machine ---------------------------------------------------------------------------------


@app.command()
def up(
    state_dir: StateDir = None,
    brokers: Brokers = None,
    port: Annotated[int | None, typer.Option(help="port of the embedded Kafka; default: a free one")] = None,
    workers: Annotated[int, typer.Option(min=1, help="track workers")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="return once everything is ready")] = False,
) -> None:
    """Start Kafka, topics and every role; stay in the foreground until Ctrl-C unless --detach."""
    from streams import supervisor

    configured = _settings(state_dir=state_dir, brokers=brokers)
    embedded = brokers is None and "MUTUAL_SLA_BROKERS" not in os.environ
    supervisor.up(configured, embedded=embedded, port=port, workers=workers, detach=detach)


@app.command()
def down(state_dir: StateDir = None) -> None:
    """Stop everything that `up` started."""
    from streams import supervisor

    supervisor.down(_settings(state_dir=state_dir))


@app.command()
def status(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Health, lag and address of each role; exit 69 if one is not healthy."""
    from streams import supervisor

    supervisor.status(_settings(state_dir=state_dir), as_json=as_json)


@app.command()
def demo(
    state_dir: StateDir = None,
    seed: Annotated[int, typer.Option(help="of the simulated company")] = 7,
    exit_after: Annotated[bool, typer.Option("--exit", help="stop everything after the summary")] = False,
) -> None:
    """A simulated company's six months through the gateway's HTTP door, then figures and where to look."""
    from streams import demo as demonstration

    demonstration.run(_settings(state_dir=state_dir), seed=seed, exit_after=exit_after)


# -- one role, for a container ---------------------------------------------------------------------------------------


@app.command()
def gateway() -> None:
    """Webhooks, records and facts in, over HTTP."""
    from streams import gateway as role

    role.run(_settings(), clock.from_environment())


@app.command()
def worker(role: Annotated[str, typer.Argument(help="normalise or track")]) -> None:
    """One Faust worker."""
    if role == "normalise":
        from streams import normalise

        normalise.run(_settings(), clock.from_environment())
    elif role == "track":
        from streams import track

        track.run(_settings(), clock.from_environment())
    else:
        raise typer.BadParameter(f"{role!r} is not a worker; there are normalise and track")


@app.command()
def poll(
    once: Annotated[bool, typer.Option("--once", help="every account once, then stop")] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="read again from then on, marked as history; implies --once")
    ] = None,
    account: Annotated[str | None, typer.Option(help="only this account")] = None,
    state_dir: StateDir = None,
    brokers: Brokers = None,
    deploy_dir: DeployDir = None,
) -> None:
    """Ask the vendors' APIs for what no webhook tells."""
    from streams import poller

    configured = _settings(state_dir=state_dir, brokers=brokers, deploy_dir=deploy_dir)
    at = _instant(since) if since else None
    poller.run(configured, clock.from_environment(), account=account, once=once, since=at)


@app.command()
def ledger() -> None:
    """The ledger writer: sla.outcomes and ats.rejected into the database."""
    from streams import ledger_writer

    ledger_writer.run(_settings(), clock.from_environment())


@app.command()
def exporter() -> None:
    """/metrics from the ledger."""
    from streams import exporter as role

    role.run(_settings(), clock.from_environment())


@app.command()
def api() -> None:
    """The authenticated read API."""
    from streams import api as role

    role.run(_settings(), clock.from_environment())


@app.command()
def pager() -> None:
    """Takes Alertmanager's webhook, looks up why, and reaches the owner."""
    from streams import pager as role

    role.run(_settings(), clock.from_environment())


@app.command()
def digest(
    as_of: Annotated[str | None, typer.Option(help="week ending here; default: now")] = None,
    send: Annotated[bool, typer.Option("--send", help="to the teams' contacts instead of the terminal")] = False,
    state_dir: StateDir = None,
) -> None:
    """The weekly digest of each team: where a goal was missed, where it was met."""
    from streams import digest as job

    job.run(_settings(state_dir=state_dir), _instant(as_of) if as_of else clock.from_environment().now(), send=send)


@app.command()
def topics(state_dir: StateDir = None, brokers: Brokers = None) -> None:
    """Create missing topics, verify all, publish the agreement; refuses other partition counts and changed past versions."""
    from streams import published
    from streams import topics as job

    configured = _settings(state_dir=state_dir, brokers=brokers)
    job.ensure(configured)
    published.publish(configured, clock.from_environment().now())


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="JSON lines, CSV, OCEL 1.0 or 2.0 JSON; also .gz")],
    mapping: Annotated[Path | None, typer.Option(help="what the columns, objects and events are (docs/import.md)")] = None,
    account: Annotated[str | None, typer.Option(help="whose history it is; default: the mapping's, else the only one")] = None,
    state_dir: StateDir = None,
    brokers: Brokers = None,
    deploy_dir: DeployDir = None,
) -> None:
    """History into ats.raw: once however often it is given, going on where it was broken off; pages nobody."""
    from streams import imports

    configured = _settings(state_dir=state_dir, brokers=brokers, deploy_dir=deploy_dir)
    imports.run(configured, files, clock.from_environment(), mapping=mapping, account=account)


@app.command()
def renormalise(
    since: Annotated[str, typer.Option("--since", help="bodies received from then on")],
    account: Annotated[str | None, typer.Option(help="only of this account")] = None,
    state_dir: StateDir = None,
    brokers: Brokers = None,
) -> None:
    """Read ats.raw again after a connector was mended: new facts appear, the others keep their ids; pages nobody."""
    from streams import renormalise as job

    job.run(_settings(state_dir=state_dir, brokers=brokers), _instant(since), clock.from_environment(), account=account)


@app.command()
def forget(
    candidate_id: Annotated[str, typer.Argument(help="account/native-id, such as greenhouse/57683957")],
    state_dir: StateDir = None,
    brokers: Brokers = None,
    deploy_dir: DeployDir = None,
) -> None:
    """Erase everything that is kept of a candidate; figures stay as they are. Delete them in the ATS first."""
    from streams import forget as job

    configured = _settings(state_dir=state_dir, brokers=brokers, deploy_dir=deploy_dir)
    job.run(configured, candidate_id, clock.from_environment())


# -- without Kafka ---------------------------------------------------------------------------------------------------


@app.command()
def check(
    facts: Annotated[list[Path] | None, typer.Argument(help="of facts, as `evaluate` reads them", **READ)] = None,
    deploy_dir: DeployDir = None,
    as_json: AsJson = False,
) -> None:
    """Validate policy, calendars, people, stages and sources, and files of facts: all faults at once, with file and line.

    Where Kafka answers, also against what was published: a version that has judged is never changed.
    """
    from streams import check as job

    job.run(_settings(deploy_dir=deploy_dir), as_json=as_json, now=clock.from_environment().now(), facts=facts or ())


@app.command()
def normalise(
    system: str,
    files: Annotated[list[Path], typer.Argument(**READ)],
    account: Annotated[str | None, typer.Option(help="source account; default: the system's name")] = None,
    record_type: Annotated[str | None, typer.Option("--type", help="the files hold polled records of this type")] = None,
    received_at: Annotated[str | None, typer.Option(help="when they were received; default: now")] = None,
    tenant: Annotated[str, typer.Option(help="the tenant of sources.yaml, for facts that are to be imported")] = "files",
    deploy_dir: DeployDir = None,
) -> None:
    """Vendor payloads to facts as JSON lines. Each unusable record: one line on stderr, exit 65."""
    from streams import normalise_files

    at = _instant(received_at) if received_at else clock.from_environment().now()
    configured = _settings(deploy_dir=deploy_dir)
    sys.exit(
        normalise_files.run(configured, system, files, account=account, record_type=record_type, received_at=at, tenant=tenant)
    )


@app.command()
def evaluate(
    files: Annotated[list[Path], typer.Argument(**READ)],
    as_of: Annotated[str, typer.Option("--as-of", help="cuts what happened")],
    known_at: Annotated[str | None, typer.Option("--known-at", help="cuts what was learned; default: no cut")] = None,
    deploy_dir: DeployDir = None,
) -> None:
    """Facts to obligations as JSON lines: the same core as the stream, without Kafka."""
    from streams import evaluate_files

    known = _instant(known_at) if known_at else None
    sys.exit(evaluate_files.run(_settings(deploy_dir=deploy_dir), files, _instant(as_of), known))


@app.command()
def whatif(
    policy: Annotated[Path, typer.Option("--policy", help="the other policy file")],
    start: Annotated[str | None, typer.Option("--from", help="deadlines from here on")] = None,
    end: Annotated[str | None, typer.Option("--to", help="deadlines before this")] = None,
    state_dir: StateDir = None,
    brokers: Brokers = None,
    as_json: AsJson = False,
) -> None:
    """The past under another policy, side by side with today's; writes nothing."""
    from streams import whatif as job

    begin, until = (_instant(text) if text else None for text in (start, end))
    job.run(_settings(state_dir=state_dir, brokers=brokers), policy, begin, until, as_json=as_json)


@app.command()
def rebuild(
    apply: Annotated[bool, typer.Option("--apply", help="mend what differs; pages nobody")] = False,
    other_agreement: Annotated[
        bool, typer.Option("--other-agreement", help="also judge anew what another policy, calendar or people version judged")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core")] = None,
    state_dir: StateDir = None,
    brokers: Brokers = None,
    deploy_dir: DeployDir = None,
    as_json: AsJson = False,
) -> None:
    """The ledger recomputed from all facts and compared with the one there is; exit 65 if differences are left."""
    from streams import rebuild as job

    configured = _settings(state_dir=state_dir, brokers=brokers, deploy_dir=deploy_dir)
    sys.exit(job.run(configured, apply=apply, as_json=as_json, workers=workers, other_agreement=other_agreement))


# -- what people report ----------------------------------------------------------------------------------------------

Application = Annotated[str | None, typer.Option("--application", help="application id, such as greenhouse/345")]
Requisition = Annotated[str | None, typer.Option("--requisition", help="requisition id, such as greenhouse/12")]
OfCommitment = Annotated[str | None, typer.Option("--commitment", help="only this commitment; default: all of the subject")]
TokenEnv = Annotated[str, typer.Option("--token-env", help="variable that holds your gateway token: it says who you are")]


@app.command()
def decline(
    reason: Annotated[str, typer.Option("--reason", help="illegal, unethical, bad_practice or out_of_agreement")],
    requisition: Requisition = None,
    application: Application = None,
    commitment: OfCommitment = None,
    token_env: TokenEnv = "MUTUAL_SLA_TOKEN",  # noqa: S107 - the name of a variable
    state_dir: StateDir = None,
) -> None:
    """Decline a request: what depends on it is cancelled and charged to nobody."""
    from streams import report

    subject = {"requisition_id": requisition, "application_id": application}
    report.decline(_settings(state_dir=state_dir), token_env, clock.from_environment().now(), subject, commitment, reason)


@exception_app.command("request")
def exception_request(
    begin: Annotated[str, typer.Option("--from", help="deadlines from here on")],
    until: Annotated[str, typer.Option("--until", help="and up to here: its expiry")],
    reason: Annotated[str, typer.Option("--reason", help="a short code, such as site_visit")],
    requisition: Requisition = None,
    application: Application = None,
    commitment: OfCommitment = None,
    token_env: TokenEnv = "MUTUAL_SLA_TOKEN",  # noqa: S107 - the name of a variable
    state_dir: StateDir = None,
) -> None:
    """Ask for an exception; prints its id. Another person has to approve it."""
    from streams import report

    subject = {"requisition_id": requisition, "application_id": application}
    span = (_instant(begin), _instant(until))
    now = clock.from_environment().now()
    report.request_exception(_settings(state_dir=state_dir), token_env, now, subject, commitment, reason, span)


@exception_app.command("approve")
def exception_approve(
    exception_id: str,
    token_env: TokenEnv = "MUTUAL_SLA_TOKEN",  # noqa: S107 - the name of a variable
    state_dir: StateDir = None,
) -> None:
    """Approve an exception that somebody else asked for."""
    from streams import report

    report.approve_exception(_settings(state_dir=state_dir), token_env, clock.from_environment().now(), exception_id)


@exception_app.command("list")
def exception_list(state_dir: StateDir = None, brokers: Brokers = None, as_json: AsJson = False) -> None:
    """Exceptions asked for, and which of them count."""
    from streams import report

    report.list_exceptions(_settings(state_dir=state_dir, brokers=brokers), as_json=as_json)


# -- questions to the ledger -----------------------------------------------------------------------------------------


@app.command()
def explain(
    obligation: str,
    state_dir: StateDir = None,
    as_json: AsJson = False,
    agreement: Annotated[bool, typer.Option("--agreement", help="also what its versions say, as published")] = False,
) -> None:
    """The receipt of one obligation, for a person to read."""
    from streams import explain as job

    job.run(_settings(state_dir=state_dir), obligation, as_json=as_json, agreement=agreement)


@rejected_app.command("list")
def rejected_list(state_dir: StateDir = None, brokers: Brokers = None, as_json: AsJson = False) -> None:
    """What could not be used, where it is, and why."""
    from streams import rejected

    rejected.list_all(_settings(state_dir=state_dir, brokers=brokers), as_json=as_json)


@rejected_app.command("retry")
def rejected_retry(
    pointers: Annotated[list[str] | None, typer.Argument(help="topic:partition:offset; default: all")] = None,
    state_dir: StateDir = None,
    brokers: Brokers = None,
) -> None:
    """Put dead letters back into ats.raw, after the connector or the mapping was mended."""
    from streams import rejected

    rejected.retry(_settings(state_dir=state_dir, brokers=brokers), pointers or None, clock.from_environment())


@app.command()
def close(
    period: Annotated[str, typer.Argument(help="YYYY-MM")],
    out: Annotated[Path | None, typer.Option(help="folder of the statement; default: statements/ in the state directory")] = None,
    accept_unverified: Annotated[
        bool, typer.Option("--accept-unverified", help="close although a source was silent; those obligations count for nobody")
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Close a month: CSV, Parquet, XLSX and manifest. A second, different close is refused."""
    from streams import close as job

    job.run(_settings(state_dir=state_dir), period, out, clock.from_environment().now(), accept_unverified=accept_unverified)


@app.command()
def report(period: Annotated[str, typer.Argument(help="YYYY-MM")], state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Read a closed statement back, with the adjustments learned since."""
    from streams import close as job

    job.report(_settings(state_dir=state_dir), period, as_json=as_json)


@app.command("as-of")
def as_of(
    day: Annotated[str, typer.Argument(help="what the figures were as known at this day or instant")],
    period: Annotated[str | None, typer.Option(help="YYYY-MM; default: the month of the day")] = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """What a month looked like on any earlier day."""
    from streams import close as job

    job.as_of(_settings(state_dir=state_dir), _instant(day), period, as_json=as_json)


def main() -> None:
    """Run the command; a deliberate error and a full disk are one readable message and an exit code."""
    try:
        app()
    except MutualSLAError as error:
        print(str(error), file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if (what := _without_room(error)) is None:
            raise
        print(f"no room: {what}; make some and run it again", file=sys.stderr)
        sys.exit(Unreachable.exit_code)


def _without_room(error: Exception) -> str | None:
    """What could not be written because a disk is full; None if that is not the reason."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'a file'}: {error.strerror}"
    cause = getattr(error, "orig", None)  # SQLAlchemy's, of SQLite's
    return str(cause) if isinstance(cause, sqlite3.OperationalError) and "full" in str(cause) else None
