#!/usr/bin/env bash
# The whole suite, or what is asked for (pytest's arguments). What waits for services leaves half of two cores idle, so that what
# only computes runs beside it, with what the others leave it; its words come when both have ended.
set -uo pipefail
cd "$(dirname "$0")/.."
if (($#)); then
    exec .venv/bin/pytest "$@"
fi
words=$(mktemp)
nice -n 10 .venv/bin/pytest tests/unit tests/property tests/stream --ignore-glob='*_kafka.py' >"$words" 2>&1 &
computing=$!
trap 'kill "$computing" 2>/dev/null; rm -f "$words"' EXIT
.venv/bin/pytest tests/integration tests/stream/*_kafka.py
served=$?
wait "$computing"
computed=$?
cat "$words"
exit $((served > computed ? served : computed))
