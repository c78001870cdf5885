#!/usr/bin/env bash
# Prepare this machine and this clone, once: Debian packages, the virtual environment, the compiled core, Kafka's jars. Safe to run again: what is
# there is left alone, and then nothing is asked of the network. Needs root or sudo only where a package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

java_is_new_enough() { have java && [ "$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)" -ge 17 ]; }
postgres_is_there() { have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    have "$name" && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo "$name" && return
  done
  return 1
}
has_headers() { [ -e "$("$1" -c 'import sysconfig; print(sysconfig.get_config_h_filename())')" ]; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
first_known() { # the first of these packages that this release has
  local name
  for name in "$@"; do
    [[ "$(LC_ALL=C apt-cache policy "$name")" =~ Candidate:\ [^\(] ]] && echo "$name" && return
  done
  say "this release has none of: $*" >&2
  return 1
}

# Debian starts what it installs, and starts it again at boot. We run our own Prometheus, Alertmanager and PostgreSQL, with our own
# configuration and data, so that is prevented for what we install; a service that was there before is not touched.
no_services=/usr/sbin/policy-rc.d
forbid_starts() {
  if [ ! -e "$no_services" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_services" >/dev/null
    as_root chmod 755 "$no_services"
    trap 'as_root rm -f "$no_services"' EXIT
  fi
}
apt_install() {
  say "apt-get install $*"
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
    apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" </dev/null >/dev/null
}

install_packages() {
  local missing=() services=() service python
  java_is_new_enough || missing+=(java)
  have mvn || missing+=(maven)
  have setpriv || missing+=(util-linux)
  have prometheus && have promtool || { missing+=(prometheus); services+=(prometheus); }
  have prometheus-alertmanager || have alertmanager || { missing+=(prometheus-alertmanager); services+=(prometheus-alertmanager); }
  postgres_is_there || { missing+=(postgresql); services+=(postgresql); }
  python=$(find_python) || missing+=(python)
  [ -z "$python" ] || [ -x .venv/bin/python ] || can_make_venv "$python" || missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
  have cc || missing+=(gcc libc6-dev)
  [ -z "$python" ] || has_headers "$python" || missing+=(headers)
  if [ "${#missing[@]}" = 0 ]; then
    say "Debian packages: all there"
    return
  fi
  have apt-get || { say "missing: ${missing[*]}, and no apt-get to install them with"; exit 69; }
  say "missing: ${missing[*]}; apt-get update"
  as_root apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null
  forbid_starts
  local packages=() name
  for name in "${missing[@]}"; do # newer releases have only newer ones of these two
    case $name in
      java) packages+=("$(first_known openjdk-17-jre-headless default-jre-headless)") ;;
      python) packages+=("$(first_known python3.11 python3)" "$(first_known python3.11-venv python3-venv)" "$(first_known python3.11-dev python3-dev)") ;;
      headers) packages+=("$(first_known "$("$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')" python3-dev)") ;;
      *) packages+=("$name") ;;
    esac
  done
  if [[ " ${missing[*]} " == *" postgresql "* ]]; then # its programs only, no cluster in /var/lib
    apt_install postgresql-common
    as_root sed -i 's/^#\? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  fi
  apt_install "${packages[@]}"
  for service in ${services[@]+"${services[@]}"}; do # nor at the next boot, with systemd or without
    ! have systemctl || as_root systemctl disable --quiet "$service" 2>/dev/null || true
    ! have update-rc.d || as_root update-rc.d "$service" disable 2>/dev/null || true
  done
}

# pip runs only where what it would install has changed: the stamp holds a hash of the two files that say what.
install_python() {
  local python wanted stamp=.venv/installed
  python=$(find_python)
  wanted=$(cat pyproject.toml constraints.txt | sha256sum | cut -d ' ' -f 1)
  if [ -x .venv/bin/mutual-sla ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    say "Python packages: as constraints.txt says"
    return
  fi
  [ -x .venv/bin/python ] || { say "$python -m venv .venv"; "$python" -m venv .venv; }
  say "pip install -e .[dev] -c constraints.txt"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt </dev/null
  printf '%s\n' "$wanted" >"$stamp"
}

install_packages
install_python
say "core: $(.venv/bin/python -c 'from streams import compiling; print(compiling.make())')"
say "Kafka: $(.venv/bin/python -m streams.kafka_node)"
