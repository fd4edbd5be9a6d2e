#!/usr/bin/env bash
# Install exactly the packages of LOCK into the Python environment DIR, with the first usable of the given versions.
# Usage: environment.sh DIR LOCK VERSION...       (example: environment.sh .venv requirements/controller.txt 3.13 3.12)
set -euo pipefail
cd "$(dirname "$0")/.."

log() { printf 'environment: %s\n' "$*" >&2; }

# Run each candidate to test it: a python3.13 on PATH can be a shim that fails, and pyenv's versions are not on PATH.
find_python() {
  local version candidate
  for version in "$@"; do
    for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python3 python3; do
      if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
        "$candidate" -c 'import sys; print(sys.executable)'
        return
      fi
    done
  done
  log "no usable Python found: one of the versions $* is needed (for example apt-get install python3)"
  return 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# On Debian and Ubuntu, ensurepip is in the package python3-venv.
ensure_venv_module() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null && return
  log "installing the package python3-venv, because $1 has no ensurepip or venv"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv >&2
}

ensure_uv() {
  .cache/uv/bin/uv --version >/dev/null 2>&1 && [ .cache/uv/ready -nt requirements/uv.txt ] && return
  log "installing uv into .cache/uv"
  ensure_venv_module "$1"
  "$1" -m venv --clear .cache/uv
  .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  touch .cache/uv/ready
}

main() {
  local dir=$1 lock=$2 python
  shift 2
  mkdir -p .cache
  exec 9>.cache/environment.lock
  flock 9
  python=$(find_python "$@")
  ensure_uv "$python"
  if ! "$dir/bin/python" -c '' 2>/dev/null; then
    log "creating $dir with $python"
    .cache/uv/bin/uv venv --quiet --clear --python "$python" "$dir"
  fi
  log "installing $lock into $dir"
  VIRTUAL_ENV=$PWD/$dir .cache/uv/bin/uv pip sync --quiet --require-hashes "$lock"
}

main "$@"
