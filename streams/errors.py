"""Every error this project raises on purpose, with the exit code the command line gives it.

Exit codes follow sysexits.h: 65 bad data, 69 unreachable service, 78 bad configuration; 2 is bad usage (Typer's own).
"""


class MutualSLAError(Exception):
    """Base of all deliberate errors; the message is for the person who has to mend it."""

    exit_code = 70


class InvalidPayload(MutualSLAError):
    """A vendor body that cannot become facts; carries a short machine-readable reason.

    The reason goes to `ats.rejected` and must never contain anything from the body beyond field names.
    """

    exit_code = 65

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class InvalidSignature(MutualSLAError):
    """The request is not from the vendor: its signature is missing or does not match."""

    exit_code = 65


class InvalidConfiguration(MutualSLAError):
    """One or more configuration faults, all of them listed, each with file and line."""

    exit_code = 78

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Unreachable(MutualSLAError):
    """A service this role needs (Kafka, the ledger database) does not answer."""

    exit_code = 69


class PeriodClosed(MutualSLAError):
    """The month has been closed with other figures; what is learned later becomes adjustments."""

    exit_code = 65
