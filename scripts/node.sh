#!/usr/bin/env bash
# Install the system packages of Node.js and npm if they are missing; the build of the manual needs them.
set -euo pipefail

command -v node >/dev/null && command -v npm >/dev/null && exit 0
echo "node: installing the packages nodejs and npm" >&2
as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nodejs npm >&2
