#!/usr/bin/env bash
# What operators see, by real programs: Prometheus scrapes and an alert fires, spans and the decision
# log reach a collector.
# usage: tests/observe.sh DOORWARD MOCKOTLPSERVER
set -euo pipefail
cd "$(dirname "$0")/.."
doorward=$(realpath "$1")
otlp=$2
dir=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$dir"
}
trap finish EXIT

promtool check rules deploy/prometheus/doorward.rules.yml
promtool test rules deploy/prometheus/tests.yml

until_says() { # SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "not seen in time: $what" >&2
      tail -n 20 "$dir"/*.log >&2
      return 1
    fi
    sleep 0.3
  done
  echo "seen: $what"
}

"$otlp" --hostname=127.0.0.1 -o summary,logs-json >"$dir/spans.log" 2>&1 &
pids+=($!)
cat >"$dir/doorward.toml" <<TOML
bundle = "$PWD/policies"
data = "data"
[listen]
grpc = "127.0.0.1:39191"
probe = "127.0.0.1:38282"
[otlp]
endpoint = "http://127.0.0.1:4317"
[audit.sink]
otlp = "http://127.0.0.1:4317"
TOML
# Files of more than 4 KiB cannot be written, which the decision log soon is.
(cd "$dir" && trap '' XFSZ && ulimit -f 4 && exec "$doorward" serve --dev --config doorward.toml) >"$dir/doorward.log" 2>&1 &
pids+=($!)
served=$!
cat >"$dir/prometheus.yml" <<YAML
global: { scrape_interval: 500ms, evaluation_interval: 500ms }
rule_files: ["$PWD/deploy/prometheus/doorward.rules.yml"]
scrape_configs:
  - job_name: doorward
    static_configs: [{ targets: ["127.0.0.1:38282"] }]
YAML
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" \
  --web.listen-address=127.0.0.1:39090 >"$dir/prometheus.log" 2>&1 &
pids+=($!)

query() { curl -fsS http://127.0.0.1:39090/api/v1/query --data-urlencode "query=$1"; }
is_up() { query 'up{job="doorward"}' 2>/dev/null | grep -q '"1"\]'; }
fires() { curl -fsS http://127.0.0.1:39090/api/v1/alerts | grep -q '"DoorwardRecordsLost".*"firing"'; }
until_says 20 'Prometheus scrapes' is_up

ask() {
  (cd "$dir" && "$doorward" token --data data --sub alice --scope orders:read --claim 'tenant="acme"' --claim 'roles=["clerk"]') |
    (cd "$dir" && "$doorward" check --token - --action ReadOrder --resource 'Order::"o-1"' --attr 'tenant="acme"' --addr http://127.0.0.1:39191) >/dev/null
}
ask
if (cd "$dir" && "$doorward" check --token a.b.c --action ReadOrder --resource 'Order::"o-1"' --addr http://127.0.0.1:39191) >/dev/null 2>&1; then
  echo 'a token that is none was accepted' >&2
  exit 1
fi
sleep 1
for _ in $(seq 15); do ask; done
until_says 20 'the alert DoorwardRecordsLost fires' fires
until_says 20 'a decision in Prometheus' bash -c \
  "curl -fsS http://127.0.0.1:39090/api/v1/query --data-urlencode 'query=doorward_decisions_total' | grep -q '\"outcome\":\"allow\"'"

# Every metric that the dashboard and the rules name is one that the server has.
for name in $(grep -oh 'doorward_[a-z_]*' deploy/grafana/doorward.json deploy/prometheus/doorward.rules.yml | sort -u); do
  base=${name#doorward_}
  base=${base%_bucket}
  grep -q "\"${base%_total}\"" src/metrics/mod.rs || { echo "no metric $name" >&2; exit 1; }
done

kill -TERM "$served"
# How it ends depends on whether the last records found room.
wait "$served" || true
until_says 10 'spans of the request and its stages' bash -c \
  "grep -q 'DecisionService/Check' '$dir/spans.log' && grep -q authenticate '$dir/spans.log' && grep -q decide '$dir/spans.log'"
# The log could not be written for long; what is on the disk has been sent on, by then or at the end.
sent() { grep -o '"doorward.decision_id"' "$dir/spans.log" | wc -l; }
kept() { (cd "$dir" && "$doorward" audit export --data data) | grep -c '"decision_id"'; }
all_sent() { [ "$(kept)" -gt 0 ] && [ "$(sent)" -eq "$(kept)" ]; }
until_says 10 'every decision that is kept, as an OTLP log' all_sent
