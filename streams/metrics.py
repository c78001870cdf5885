"""Every metric this project exposes: name, help, labels, each exactly once. Nothing else in Python spells a metric's name.

Names start with `mutual_sla_`; times are seconds (`_seconds`, moments `_timestamp_seconds`), ratios 0-1 (`_ratio`), counters
end in `_total`. Labels never hold a candidate, a requisition or a name; the opaque owner key and the obligation id only where
DESIGN.md allows them. A role makes the ones it counts at import: `BODIES = metrics.GATEWAY_BODIES.counter()`. Those under
"ledger" are made by the exporter from one snapshot of the ledger, so boards, pages and statements agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

#: A batch or a request: from a millisecond to the time-outs of a role.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

HOUR = 3600.0
#: Turnaround in business time: within the hour, half days, and working days of 8 h up to four weeks; the targets of the policy
#: (1, 2, 5, 7 business days of 8 h) are bounds, so that "within target" can be read off.
TURNAROUND_BUCKETS = tuple(HOUR * hours for hours in (1, 2, 4, 8, 12, 16, 24, 32, 40, 56, 80, 120, 160))

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric's contract: what boards, rules and tests may rely on."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = LATENCY_BUCKETS

    def counter(self, registry: CollectorRegistry = REGISTRY) -> Counter:
        """The counter itself, registered once in `registry`; raises ValueError if it is already there or no counter."""
        self._must_be("counter")
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry = REGISTRY) -> Gauge:
        """The gauge itself, registered once in `registry`; raises ValueError if it is already there or no gauge."""
        self._must_be("gauge")
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry = REGISTRY) -> Histogram:
        """The histogram itself, registered once in `registry`; raises ValueError if it is already there or no histogram."""
        self._must_be("histogram")
        return Histogram(self.name, self.help, self.labels, registry=registry, buckets=self.buckets)

    def series(self) -> Iterable[str]:
        """The names under which Prometheus stores it."""
        return [self.name + suffix for suffix in ("_bucket", "_sum", "_count")] if self.kind == "histogram" else [self.name]

    def _must_be(self, kind: Kind) -> None:
        if self.kind != kind:
            raise ValueError(f"{self.name} is a {self.kind}, not a {kind}")


def gauge(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float | None]]) -> GaugeMetricFamily:
    """One gauge family; a value of None gives no sample."""
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, value)
    return family


# -- ledger: promises and how they were kept ---------------------------------------------------------------------------

OBLIGATIONS = Metric(
    "gauge",
    "mutual_sla_obligations",
    "Obligations in the ledger by their current verdict.",
    ("commitment", "side", "team", "verdict"),
)
OBLIGATIONS_NOW = Metric(
    "gauge",
    "mutual_sla_obligations_now",
    "Obligations that run now; state is open (not yet due soon), due_soon or overdue, each obligation in exactly one.",
    ("commitment", "side", "team", "state"),
)
ADHERENCE = Metric(
    "gauge",
    "mutual_sla_adherence_ratio",
    "Kept promises: met / (met + missed + overdue) over deadlines in the window up to now; no value where none was due.",
    ("commitment", "side", "team", "window"),
)
ADHERENCE_STRICT = Metric(
    "gauge",
    "mutual_sla_adherence_without_exceptions_ratio",
    "The same as if no exception had been approved: met / (met + missed + overdue + excused).",
    ("commitment", "side", "team", "window"),
)
ADHERENCE_N = Metric(
    "gauge",
    "mutual_sla_adherence_obligations",
    "Obligations an adherence rests on (met + missed + overdue).",
    ("commitment", "side", "team", "window"),
)
ADHERENCE_MET = Metric(
    "gauge",
    "mutual_sla_adherence_met_obligations",
    "Numerator of the adherence; sum it and the n, never average ratios.",
    ("commitment", "side", "team", "window"),
)
ADHERENCE_LOW = Metric(
    "gauge",
    "mutual_sla_adherence_low_ratio",
    "Lower end of the 95 % Wilson interval of the adherence.",
    ("commitment", "side", "team", "window"),
)
ADHERENCE_HIGH = Metric(
    "gauge",
    "mutual_sla_adherence_high_ratio",
    "Upper end of the 95 % Wilson interval of the adherence.",
    ("commitment", "side", "team", "window"),
)
GOAL_MISSED = Metric(
    "gauge",
    "mutual_sla_goal_missed",
    "1 where the last 90 days, with at least the minimum n, miss the objective beyond chance (exact binomial, one-sided, 5 %).",
    ("commitment", "side", "team"),
)
GOAL_MET = Metric(
    "gauge",
    "mutual_sla_goal_met",
    "1 where the last 90 days reach the objective with at least the minimum n.",
    ("commitment", "side", "team"),
)
SIDE_SCORE = Metric(
    "gauge",
    "mutual_sla_side_score_ratio",
    "Policy-weighted mean of the adherence of a side's commitments; no value below the minimum n.",
    ("side", "team", "window"),
)
PARTNERSHIP_INDEX = Metric(
    "gauge",
    "mutual_sla_partnership_index_ratio",
    "Harmonic mean of the two side scores of a team; no value if a side is below the minimum n.",
    ("team", "window"),
)
HOLDER_SECONDS = Metric(
    "gauge",
    "mutual_sla_holder_seconds",
    "How long each holder had the ball of the team's applications in the window, by the wall clock.",
    ("holder", "team", "window"),
)
HOLDER_BUSINESS_SECONDS = Metric(
    "gauge",
    "mutual_sla_holder_business_seconds",
    "The same in working time, on the calendar of who held it; no value for who has no working day.",
    ("holder", "team", "window"),
)
TARGET_DAYS = Metric(
    "gauge",
    "mutual_sla_commitment_target_days",
    "The promised time where it is agreed in days; unit is business_days or calendar_days of the debtor's calendar.",
    ("commitment", "side", "unit"),
)
TARGET_SECONDS = Metric(
    "gauge",
    "mutual_sla_commitment_target_seconds",
    "The promised time where it is agreed in hours; unit is business_hours or elapsed_hours.",
    ("commitment", "side", "unit"),
)
OBJECTIVE = Metric(
    "gauge",
    "mutual_sla_commitment_objective_ratio",
    "The adherence both sides agreed to reach.",
    ("commitment", "side"),
)
WEIGHT = Metric(
    "gauge", "mutual_sla_commitment_weight", "Weight in the side score; 0: shown, not scored.", ("commitment", "side")
)
MINIMUM_N = Metric("gauge", "mutual_sla_minimum_n", "Below this many obligations no figure is coloured and no index is given.")
COMMITMENT_MINIMUM_N = Metric(
    "gauge",
    "mutual_sla_commitment_minimum_n",
    "The minimum n of one commitment: its own, else that of the policy; below it no goal is missed or met.",
    ("commitment", "side"),
)
TURNAROUND = Metric(
    "histogram",
    "mutual_sla_turnaround_business_seconds",
    "Working time that counted until the promise was kept or closed as missed; from the ledger, so a revision may lower it.",
    ("commitment", "side"),
    TURNAROUND_BUCKETS,
)

# -- ledger: who has to act ----------------------------------------------------------------------------------------------

OWNER_OBLIGATIONS = Metric(
    "gauge",
    "mutual_sla_owner_obligations",
    "Obligations of an owner that are due_soon or overdue; never capped, and 0 once nothing is: pages hang on it.",
    ("owner", "side", "team", "state"),
)
OWNER_OLDEST_DUE = Metric(
    "gauge",
    "mutual_sla_owner_oldest_due_timestamp_seconds",
    "The earliest deadline among them; no value where there is none.",
    ("owner", "side", "team", "state"),
)
LATE_OBLIGATION = Metric(
    "gauge",
    "mutual_sla_late_obligation_due_timestamp_seconds",
    "Deadline of single obligations that are due_soon or overdue, for boards: the oldest ones only; holder has the ball now.",
    ("obligation", "commitment", "side", "team", "owner", "state", "holder"),
)
LATE_LEFT_OUT = Metric(
    "gauge",
    "mutual_sla_late_obligations_left_out",
    "How many due_soon and overdue obligations the bounded list does not show.",
)

# -- ledger: how fresh everything is ----------------------------------------------------------------------------------

SOURCE_NEWEST = Metric(
    "gauge",
    "mutual_sla_source_newest_fact_timestamp_seconds",
    "When the newest fact of a source account was received.",
    ("account",),
)
SOURCE_WATERMARK = Metric(
    "gauge",
    "mutual_sla_source_complete_until_timestamp_seconds",
    "Everything of this kind that happened in the account before this moment has been read.",
    ("account", "kind"),
)
LAST_TICK = Metric(
    "gauge",
    "mutual_sla_last_tick_timestamp_seconds",
    "Last tick folded into the ledger, by partition of ats.facts.",
    ("partition",),
)
LEDGER_NEWEST = Metric(
    "gauge", "mutual_sla_ledger_newest_learned_timestamp_seconds", "The newest moment of knowledge in the ledger."
)
DEAD_LETTERS = Metric(
    "gauge", "mutual_sla_dead_letters", "Dead letters in the ledger, by reason; state is pending or retried.", ("reason", "state")
)
CLOCK = Metric("gauge", "mutual_sla_clock_timestamp_seconds", "Now, as this installation's clock has it; simulated in the demo.")
CLOCK_SIMULATED = Metric(
    "gauge",
    "mutual_sla_clock_simulated",
    "1 while that clock is more than five minutes away from the machine's: nobody is paged.",
)
SNAPSHOT_SUCCESS = Metric(
    "gauge", "mutual_sla_exporter_snapshot_success_timestamp_seconds", "When the ledger figures shown here were read."
)
SNAPSHOT_SECONDS = Metric("gauge", "mutual_sla_exporter_snapshot_seconds", "How long reading them took.")
SNAPSHOT_FAILED = Metric(
    "gauge", "mutual_sla_exporter_snapshot_failed", "1 while the ledger cannot be read and older figures are shown."
)
INFO = Metric("gauge", "mutual_sla_info", "Always 1; the versions in force.", ("version", "policy_version", "people_version"))

# -- gateway ------------------------------------------------------------------------------------------------------------

GATEWAY_REQUESTS = Metric(
    "counter", "mutual_sla_gateway_requests_total", "HTTP requests answered.", ("route", "system", "status")
)
GATEWAY_REQUEST_SECONDS = Metric(
    "histogram", "mutual_sla_gateway_request_seconds", "From the first byte of a request to its answer.", ("route",)
)
GATEWAY_BODIES = Metric(
    "counter",
    "mutual_sla_gateway_bodies_total",
    "Bodies acknowledged by the broker in ats.raw.",
    ("account", "channel"),
)
GATEWAY_PRODUCE_FAILURES = Metric(
    "counter", "mutual_sla_gateway_produce_failures_total", "Bodies the broker did not acknowledge in time (answered 503)."
)
GATEWAY_BODY_BYTES = Metric(
    "counter", "mutual_sla_gateway_body_bytes_total", "Their bytes, without Kafka's own.", ("account", "channel")
)
GATEWAY_APPEND_SECONDS = Metric(
    "histogram", "mutual_sla_gateway_append_seconds", "From handing a request's bodies to the producer to their acknowledgement."
)
GATEWAY_CLOSED = Metric(
    "counter",
    "mutual_sla_gateway_connections_closed_total",
    "Connections closed: a head or taking an answer was `slow`, to make room (`too_many`), a request came before the last was "
    "answered (`early`), or was no HTTP or its head too large (`unreadable`).",
    ("reason",),
)

# -- poller -----------------------------------------------------------------------------------------------------------

POLLS = Metric(
    "counter",
    "mutual_sla_polls_total",
    "Polls of one record type of an account, by result: done or failed.",
    ("account", "record_type", "result"),
)
POLL_SUCCESS = Metric(
    "gauge",
    "mutual_sla_poll_last_success_timestamp_seconds",
    "When the last successful poll began; what happened until then has been read.",
    ("account", "record_type"),
)
POLL_REQUESTS = Metric(
    "counter",
    "mutual_sla_poll_requests_total",
    "Requests to a vendor's API, by the status it answered; `none` where it did not.",
    ("account", "status"),
)
POLL_RECORDS = Metric(
    "counter", "mutual_sla_poll_records_total", "New or changed records acknowledged in ats.raw.", ("account", "record_type")
)

# -- workers (normalise, track) -------------------------------------------------------------------------------------------

WORKER_RECORDS = Metric("counter", "mutual_sla_worker_records_total", "Records folded in and acknowledged.", ("app",))
WORKER_BATCHES = Metric("counter", "mutual_sla_worker_batches_total", "Micro-batches committed.", ("app",))
WORKER_BATCH_SECONDS = Metric(
    "histogram", "mutual_sla_worker_batch_seconds", "One micro-batch: step, delivery, changelog, local write.", ("app",)
)
WORKER_MESSAGES = Metric("counter", "mutual_sla_worker_messages_total", "Messages delivered to Kafka.", ("app", "topic"))
WORKER_LAG = Metric("gauge", "mutual_sla_worker_lag_records", "Records not yet folded in.", ("app", "partition"))
WORKER_POSITION = Metric(
    "gauge", "mutual_sla_worker_position_timestamp_seconds", "Time of the newest record folded in.", ("app", "partition")
)
WORKER_REJECTED = Metric("counter", "mutual_sla_worker_rejected_total", "Records sent to ats.rejected.", ("app", "reason"))
STALLED_SECONDS = Metric(
    "gauge",
    "mutual_sla_stalled_seconds",
    "How long what has work has not got on: loop, recovery, records, tick, ledger, behind; 0 while there is nothing to do.",
    ("app", "what"),
)
RECOVERED_RECORDS = Metric(
    "counter", "mutual_sla_worker_recovered_records_total", "Changelog records written to local state at a recovery.", ("app",)
)
PARKED_FACTS = Metric("gauge", "mutual_sla_parked_facts", "Facts that wait for the link to their requisition.", ("app",))
NORMALISED_FACTS = Metric("counter", "mutual_sla_normalised_facts_total", "Facts published.", ("account", "kind"))
UNMAPPED_STAGES = Metric(
    "counter",
    "mutual_sla_unmapped_stages_total",
    "Stage changes whose stage name deploy/stages.yaml does not know.",
    ("account",),
)
OPEN_DEADLINES = Metric("gauge", "mutual_sla_tracker_open_deadlines", "Deadlines and warnings a tracker waits for.", ("app",))

# -- ledger writer ------------------------------------------------------------------------------------------------------

LEDGER_OUTCOMES = Metric(
    "counter", "mutual_sla_ledger_outcomes_total", "Outcomes read, by result: applied, unchanged, stale or rejected.", ("result",)
)
LEDGER_COMMIT_SECONDS = Metric("histogram", "mutual_sla_ledger_commit_seconds", "One transaction of rows and offsets.")
LEDGER_LAST_COMMIT = Metric(
    "gauge", "mutual_sla_ledger_last_commit_timestamp_seconds", "When rows were last written, by our clock."
)
LEDGER_LAG = Metric("gauge", "mutual_sla_ledger_lag_records", "Records not yet in the ledger.", ("topic", "partition"))

# -- pager --------------------------------------------------------------------------------------------------------------

PAGER_ALERTS = Metric("counter", "mutual_sla_pager_alerts_total", "Alerts received, by what came of them.", ("outcome",))
PAGER_SENT = Metric(
    "counter", "mutual_sla_pager_deliveries_total", "Deliveries tried, by channel and result.", ("channel", "result")
)

#: Every metric by name.
ALL: dict[str, Metric] = {value.name: value for value in list(globals().values()) if isinstance(value, Metric)}
