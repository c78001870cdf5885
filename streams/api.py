"""The read API over the ledger: receipts, adherence, the index, holders and closed statements, for whoever has an `api` token.

Figures about single requisitions are only here, never in /metrics and never in what finance gets. Nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from schemas.outcome import Side, Verdict
from schemas.policy import Policy
from schemas.sources import Sources
from streams import closed_periods, goals, holding_time, ledger, serving, silences
from streams.access import Access
from streams.adherence import Counts, Promises, direction, index, index_interval, policy_at, side_score, wilson
from streams.agreement import Agreement
from streams.check import load_agreement, load_sources
from streams.clock import Clock
from streams.close import NotClosed, document, reported
from streams.ledger_database import snapshot
from streams.period import InvalidPeriod, Period
from streams.settings import Settings
from streams.snapshot import in_force
from streams.time_to_fill import TIME_TO_FILL, times_to_fill

#: What an index is of: names in the answer, and the ledger's columns for them. `hiring_manager` there is that side's score.
PARTNERSHIPS = {
    "team": {"team": "team"},
    "requisition": {"requisition_id": "requisition_id"},
    "pair": {"recruiter": "recruiter", "manager": "hiring_manager"},
}
MOST = 1_000  #: obligations one request may list
MOST_PASSED = 10_000_000  #: that it may leave out before
MOST_MONTHS = 36  #: months one request may ask the index of

#: What `by` may name, and the ledger's column for it. Persons are left out: no ranking of people (design: privacy).
BY = {
    "team": "team",
    "side": "side",
    "commitment": "commitment",
    "commitment_version": "commitment_version",
    "requisition": "requisition_id",
}

log = structlog.get_logger()


def run(settings: Settings, clock: Clock) -> None:
    """Serve until SIGTERM or SIGINT. InvalidConfiguration for a faulty agreement or token, Unreachable without a ledger."""
    agreement = load_agreement(settings.deploy_dir)
    access = Access.from_sources(only_api(load_sources(settings.deploy_dir)), settings.deploy_dir)
    engine = ledger.open_ledger(settings.ledger)
    try:
        serving.serve(application(engine, agreement, access, clock.now), settings.host, settings.api_port)
    finally:
        engine.dispose()


def only_api(sources: Sources) -> Sources:
    """The sources without any secret that this role has no need to know."""
    accounts = tuple(account.model_copy(update={"webhook_secrets": ()}) for account in sources.accounts)
    tokens = tuple(token for token in sources.tokens if token.role == "api")
    return sources.model_copy(update={"accounts": accounts, "tokens": tokens})


def application(engine: Engine, agreement: Agreement, access: Access, now: Callable[[], datetime]) -> FastAPI:
    """The ASGI application. `now` is the as_of of every answer."""
    app = FastAPI(title="Mutual SLA", docs_url=None, redoc_url=None, openapi_url=None)

    def reader(request: Request, authorization: Annotated[str | None, Header()] = None) -> str:
        who = access.identify(authorization)
        if who is None:
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if who.role != "api":
            raise HTTPException(403, "this token is not for the API")
        if any("\0" in text for text in (*request.query_params.values(), *request.path_params.values())):
            raise HTTPException(422, "no name holds a NUL")  # PostgreSQL would refuse it, as if the ledger were away
        _refuse_misnamed(request)
        return who.name

    _health(app, engine)
    _obligations(app, engine, reader)
    _figures(app, engine, agreement, now, reader)
    _signals(app, engine, agreement, now, reader)
    _statements(app, engine, agreement, reader)

    @app.exception_handler(InvalidPeriod)
    def no_month(_request: Request, error: InvalidPeriod) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(NotClosed)
    def not_closed(_request: Request, error: NotClosed) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @app.exception_handler(DBAPIError)
    def no_ledger(_request: Request, error: DBAPIError) -> JSONResponse:
        log.warning("ledger_database_away", error=type(error.orig).__name__)
        return JSONResponse({"detail": "the ledger does not answer"}, 503, {"Retry-After": "5"})

    return app


def _refuse_misnamed(request: Request) -> None:
    """An answer without the filter that was meant looks like one with it."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    asked = request.query_params
    if unknown := sorted(set(asked) - set(known)):
        raise HTTPException(422, f"unknown parameter {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    if twice := sorted(name for name in asked if len(asked.getlist(name)) > 1):
        raise HTTPException(422, f"given more than once: {', '.join(twice)}")


def _health(app: FastAPI, engine: Engine) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        with snapshot(engine) as conn:
            ledger.newest_learned(conn)
        return {"status": "ok"}


def _obligations(app: FastAPI, engine: Engine, reader: Callable[..., str]) -> None:
    @app.get("/v1/obligations/{obligation_id:path}", dependencies=[Depends(reader)])
    def one(obligation_id: str) -> dict[str, Any]:
        """An obligation with its receipt, and every version that was ever known."""
        with snapshot(engine) as conn:
            found = ledger.find_obligation(conn, obligation_id)
            if found is None:
                raise HTTPException(404, "no such obligation")
            return {"obligation": found, "revisions": ledger.revisions(conn, obligation_id)}

    @app.get("/v1/obligations", dependencies=[Depends(reader)])
    def several(
        owner: str | None = None,
        team: str | None = None,
        requisition: str | None = None,
        verdict: Verdict | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
        offset: Annotated[int, Query(ge=0, le=MOST_PASSED)] = 0,
    ) -> dict[str, Any]:
        """Obligations by deadline, earliest first, without receipts; `more`: there are others, from `offset` + `limit` on."""
        equal = {"owner": owner, "team": team, "requisition_id": requisition, "verdict": verdict.value if verdict else None}
        with snapshot(engine) as conn:
            found = ledger.list_obligations(conn, limit + 1, offset, **equal)
        return {"obligations": found[:limit], "more": len(found) > limit}


def _figures(app: FastAPI, engine: Engine, agreement: Agreement, now: Callable[[], datetime], reader: Callable[..., str]) -> None:
    policy = agreement.policy

    @app.get("/v1/adherence", dependencies=[Depends(reader)])
    def adherence(period: str, by: str = "team,side,commitment") -> dict[str, Any]:
        """Adherence of a month up to now; `by` names one or more of team, side, commitment, requisition ..."""
        names = [name.strip() for name in by.split(",") if name.strip()]
        if unknown := [name for name in names if name not in BY]:
            raise HTTPException(422, f"cannot group by {', '.join(unknown)}; there are {', '.join(BY)}")
        month, at = Period.month(period, policy.reporting_zone), now()
        with snapshot(engine) as conn:
            groups = ledger.adherence_counts(conn, month.start, month.end, at, [BY[name] for name in names])
        least = {commitment.name: policy.minimum_for(commitment) for commitment in in_force(policy, at).values()}
        found: list[dict[str, Any]] = []
        for group in groups:
            key = dict(zip(names, group.key, strict=True))
            minimum = least.get(key.get("commitment", ""), policy.minimum_n)
            found.append(key | _said(group.counts) | {"minimum_n": minimum, "enough": group.counts.n >= minimum})
        return _head(month, at) | {"minimum_n": policy.minimum_n, "groups": found}

    @app.get("/v1/index", dependencies=[Depends(reader)])
    def partnership(
        period: str,
        by: Literal["team", "requisition", "pair"] = "team",
        months: Annotated[int, Query(ge=1, le=MOST_MONTHS)] = 1,
    ) -> dict[str, Any]:
        """The partnership index of each team, requisition or recruiter-manager pair, month by month up to now.

        `period` is the last of `months` months. With n, both side scores and the 95 % bootstrap interval; no value for what
        has fewer obligations than the minimum n on a side. `direction`: against the month before, beyond chance.
        """
        last, at = Period.month(period, policy.reporting_zone), now()
        rows: list[dict[str, Any]] = []
        with snapshot(engine) as conn:
            earlier, *asked = last.and_before(months + 1)
            before = _promises(conn, earlier, at, by)
            for month in asked:
                found = _promises(conn, month, at, by)
                then = policy_at(policy, month.start)
                rows += [_index(month, by, who, promises, before.get(who, {}), then) for who, promises in sorted(found.items())]
                before = found
        return _head(last, at) | {"by": by, "minimum_n": policy.minimum_n, "rows": rows}

    @app.get("/v1/time-to-fill", dependencies=[Depends(reader)])
    def time_to_fill(period: str) -> dict[str, Any]:
        """Time to fill and time to hire of offers accepted in a month, by team, in calendar days."""
        month, at = Period.month(period, policy.reporting_zone), now()
        with snapshot(engine) as conn:
            rows = ledger.acceptances(conn, month.start, month.end)
        return _head(month, at) | {"definition": TIME_TO_FILL, "teams": times_to_fill(rows)}

    @app.get("/v1/holders", dependencies=[Depends(reader)])
    def holders(
        by: Annotated[str, Query(description="one or more of team, requisition, application, person")] = "team",
        team: str | None = None,
        requisition: str | None = None,
        application: str | None = None,
        person: str | None = None,
        period: Annotated[str | None, Query(description="of a month, YYYY-MM; else from the beginning")] = None,
    ) -> dict[str, Any]:
        """How long each side has held the ball up to now, by the wall clock and on the calendar of who held it."""
        names = [name.strip() for name in by.split(",") if name.strip()]
        if unknown := [name for name in names or ["nothing"] if name not in holding_time.BY]:
            raise HTTPException(422, f"cannot group by {', '.join(unknown)}; there are {', '.join(holding_time.BY)}")
        month = Period.month(period, policy.reporting_zone) if period else None
        at, equal = now(), {"team": team, "requisition": requisition, "application": application, "person": person}
        with snapshot(engine) as conn:
            until, since = (min(at, month.end), month.start) if month else (at, None)
            found = holding_time.times(conn, agreement, until, names, since=since, **equal)
        return (_head(month, at) if month else {"as_of": at}) | {"by": names, "holders": found}


def _head(month: Period, at: datetime) -> dict[str, Any]:
    return {"period": month.name, "zone": month.zone, "start": month.start, "end": month.end, "as_of": at}


def _promises(conn: Connection, month: Period, at: datetime, by: str) -> dict[tuple[str, ...], dict[tuple[str, str], Counts]]:
    """Counts by side and commitment of each team, requisition or pair with obligations due in the month."""
    found: dict[tuple[str, ...], dict[tuple[str, str], Counts]] = defaultdict(dict)
    for group in ledger.adherence_counts(conn, month.start, month.end, at, (*PARTNERSHIPS[by].values(), "side", "commitment")):
        *who, side, commitment = group.key
        found[tuple(who)][side, commitment] = group.counts
    return found


def _index(month: Period, by: str, who: tuple[str, ...], promises: Promises, before: Promises, policy: Policy) -> dict[str, Any]:
    """One row: a month of one team, requisition or pair."""
    return {
        "period": month.name,
        **dict(zip(PARTNERSHIPS[by], who, strict=True)),
        "n": sum(counts.n for counts in promises.values()),
        **{side.value: side_score(promises, policy, side, policy.minimum_n) for side in Side},
        "index": index(promises, policy),
        "interval": index_interval(promises, policy),
        "direction": direction(before, promises, policy),
    }


def _said(counts: Counts) -> dict[str, Any]:
    with_and_without = {
        "adherence": counts.adherence,
        "adherence_without_exceptions": counts.adherence_without_exceptions,
    }
    return asdict(counts) | {"n": counts.n, **with_and_without, "interval": wilson(counts.met, counts.n)}


def _signals(app: FastAPI, engine: Engine, agreement: Agreement, now: Callable[[], datetime], reader: Callable[..., str]) -> None:
    @app.get("/v1/signals", dependencies=[Depends(reader)])
    def told(period: str | None = None, team: str | None = None) -> dict[str, Any]:
        """Months that are over: which objectives were missed beyond chance, which met; the last word and when it was said.

        Of one `period` (YYYY-MM), else all; `none` takes an earlier word back.
        """
        month = Period.month(period, agreement.policy.reporting_zone) if period else None
        with snapshot(engine) as conn:
            return {"signals": goals.told(conn, period=month.name if month else None, team=team)}

    @app.get("/v1/silences", dependencies=[Depends(reader)])
    def silent(account: str | None = None) -> dict[str, Any]:
        """How complete each source is by account and kind, and every silence of an hour or longer there was."""
        at = now()
        with snapshot(engine) as conn:
            return {"as_of": at, "now": silences.now(conn, at, account), "ended": silences.ended(conn, account)}


def _statements(app: FastAPI, engine: Engine, agreement: Agreement, reader: Callable[..., str]) -> None:
    @app.get("/v1/statements", dependencies=[Depends(reader)])
    def closed() -> dict[str, Any]:
        """Which months are closed."""
        with snapshot(engine) as conn:
            return {"statements": closed_periods.closed_periods(conn)}

    @app.get("/v1/statements/{period}", dependencies=[Depends(reader)])
    def one(period: str) -> dict[str, Any]:
        """A closed month as it was said, with the adjustments learned since."""
        with snapshot(engine) as conn:
            said, changes = reported(conn, Period.month(period, agreement.policy.reporting_zone), agreement)
        return document(said, changes)
