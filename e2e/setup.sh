#!/bin/sh
# Installs what the tests need and this machine lacks, and says what it installs.
#
#   e2e/setup.sh PROGRAM=PACKAGE...    Debian packages whose program is not there, with apt (as root)
#   e2e/setup.sh npm                   the npm packages that e2e/package-lock.json names
set -eu
cd "$(dirname "$0")"

if [ "${1:-}" = npm ]; then
	if cmp -s package-lock.json node_modules/.installed; then
		exit 0
	fi
	echo "installing npm packages: $(node -p 'const p = require("./package.json"); Object.entries({...p.dependencies, ...p.devDependencies}).map(e => e.join("@")).join(" ")')"
	npm ci --no-audit --no-fund --loglevel=error
	cp package-lock.json node_modules/.installed
	exit 0
fi

missing=
for want in "$@"; do
	command -v "${want%%=*}" >/dev/null 2>&1 || missing="$missing ${want#*=}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "these packages are needed, please install them:$missing" >&2
	exit 1
fi
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || echo "some package lists could not be updated" >&2
# shellcheck disable=SC2086 # one word each
apt-get install -y -qq --no-install-recommends $missing >/dev/null </dev/null
