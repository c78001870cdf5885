#!/usr/bin/env bash
# promtool and amtool over everything Prometheus and Alertmanager read, and the unit tests of the rules. `make lint` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

.venv/bin/python -m streams.monitoring "$rendered"
promtool check config "$rendered/prometheus.yml" # and the rule files that it names
amtool check-config "$rendered/alertmanager.yml"
promtool test rules tests/rules/*.yml
