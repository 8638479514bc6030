#!/bin/sh
# Install Debian packages where we may: as root, with apt. Elsewhere say what is missing and go on; the tests that
# need it then skip with a reason, and fail where CI=true.
set -u
[ $# -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "no apt-get here: install $* yourself; the tests that need them are skipped" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "not root: run 'apt-get install $*' yourself; the tests that need them are skipped" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null || echo "apt-get update failed; going on with the list at hand" >&2
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
