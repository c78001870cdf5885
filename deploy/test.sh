#!/usr/bin/env bash
# The whole suite, or what is asked for (pytest's arguments). What waits for services leaves half of two cores idle, so that what
# only computes runs beside it, with what the others leave it, and then a part of what waits that needs none of the default ports.
# The words of the second come when both have ended.
set -uo pipefail
cd "$(dirname "$0")/.."
if (($#)); then
    exec .venv/bin/pytest "$@"
fi
beside=(tests/stream/*_kafka.py tests/integration/test_{alertmanager,boards,rebuild,three_brokers,track_kafka}.py)
words=$(mktemp)
set -m  # a process group of its own, to be ended as one
{
    nice -n 10 .venv/bin/pytest tests/unit tests/property tests/stream --ignore-glob='*_kafka.py'
    computed=$?
    .venv/bin/pytest "${beside[@]}"
    exit $((computed | $?))
} >"$words" 2>&1 &
second=$!
set +m
trap 'kill -- -"$second" 2>/dev/null; rm -f "$words"' EXIT
.venv/bin/pytest tests/integration "${beside[@]/#/--ignore=}"
first=$?
wait "$second"
rest=$?
cat "$words"
exit $((first | rest))
