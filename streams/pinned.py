"""The exact versions and private names that `microbatch` rests on, checked before a worker starts.

Another version of Faust would start, run, and lose events quietly; so this refuses it by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from streams.errors import InvalidConfiguration

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0", "rocksdict": "0.3.29"}


def verify() -> None:
    """Raise InvalidConfiguration with every difference; returns if versions, private names and codecs are all there."""
    faults = [*_wrong_versions()] or [*_missing_names(), *_missing_codecs()]
    if faults:
        raise InvalidConfiguration(faults)


def _wrong_versions() -> Iterator[str]:
    for package, wanted in VERSIONS.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "none"
        if found != wanted:
            yield f"{package} {found} is installed; micro-batches were proved on {wanted} only: pip install {package}=={wanted}"


def _missing_names() -> Iterator[str]:
    from faust.app.base import App
    from faust.assignor.partition_assignor import PartitionAssignor
    from faust.stores.rocksdb import Store
    from faust.streams import Stream
    from faust.tables.base import Collection
    from faust.tables.manager import TableManager
    from faust.tables.recovery import Recovery
    from faust.transport.consumer import Consumer, ThreadDelegateConsumer
    from faust.transport.drivers.aiokafka import Producer, Transport
    from faust.worker import Worker

    needed: dict[type, str] = {
        App: "_new_transport _new_producer_transport on_rebalance_end rebalancing_count consumer_generation_id",
        PartitionAssignor: "assigned_actives on_assignment _perform_assignment _get_copartitioned_groups _get_client_metadata "
        "_update_member_urls _protocol_assignments",
        Store: "_db_for_partition offset_key",
        Stream: "enable_acks events",
        Collection: "_verify_source_topic_partitions on_recover",
        TableManager: "recovery on_standbys_ready wait_until_tables_registered",
        Recovery: "_slurp_changelogs _wait on_rebalance signal_recovery_start _set_recovery_started _set_recovery_ended "
        "need_recovery standby_remaining_total",
        Consumer: "_to_message _new_offset _filter_tps_with_pending_acks perform_seek seek on_partitions_revoked getmany _commit "
        "commit maybe_wait_for_commit_to_finish",
        ThreadDelegateConsumer: "_getmany seek_to_committed seek_wait",
        Producer: "_settings_extra _ensure_producer",
        Transport: "Consumer Producer",
        Worker: "_schedule_shutdown",
    }
    for owner, names in needed.items():
        for name in names.split():
            if not hasattr(owner, name):
                yield f"faust's {owner.__name__} has no {name}"


def _missing_codecs() -> Iterator[str]:
    # Without its codec Faust crashes on the first compressed batch, not at the start.
    from aiokafka import codec

    for name in ("gzip", "snappy", "lz4", "zstd"):
        if not getattr(codec, f"has_{name}")():
            yield f"topics compressed with {name} could not be read: pip install cramjam lz4 zstandard python-snappy"
