"""No header and no body that somebody makes up lets them speak for Merge, SmartRecruiters, Teamtailor or Workable."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.connectors import CONNECTORS
from streams.errors import InvalidSignature
from tests.vendors import BODIES

BODY = st.binary(max_size=200) | st.sampled_from([b'{"payload":{"data":{"id":"1"}},"signature":"x"}', b'{"resource_id":1}'])
NAMES = st.sampled_from(
    [
        "event-name",
        "smartrecruiters-signature",
        "smartrecruiters-timestamp",
        "teamtailor-signature",
        "x-hook-secret",
        "x-merge-webhook-signature",
        "x-workable-signature",
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted({vendor for vendor, _ in BODIES})), st.dictionaries(NAMES, st.text(max_size=70)), BODY)
def test_no_header_gets_anybody_in(vendor: str, sent: dict[str, str], body: bytes) -> None:
    try:
        CONNECTORS[vendor].verify(sent, body, [b"secret", b"old"])
    except InvalidSignature:
        return
    raise AssertionError("a made-up signature was taken")
