#!/bin/sh
# Makes what is given out: for each kind of machine an archive with the static program, what systemd needs and the runbook, and
# SHA256SUMS. The same source and Go give the same bytes.
#
#   deploy/dist.sh VERSION [ARCHITECTURE...]
set -eu
cd "$(dirname "$0")/.."
version=${1:?which version?}
shift
[ $# -gt 0 ] || set -- amd64 arm64
# The time of the last commit stands for the time of every file.
time=$(git log -1 --format=%ct 2>/dev/null || echo 0)

mkdir -p dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archives=
for arch in "$@"; do
	name=cardea-$version-linux-$arch
	mkdir "$work/$name"
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -ldflags "-s -w -X cardea/node.version=$version" -o "$work/$name/cardea" ./node/cardea
	cp deploy/systemd/cardea.service deploy/systemd/cardea.sysusers deploy/systemd/cardea.sysctl deploy/systemd/cardea.yaml \
		deploy/systemd/low-ports.conf deploy/systemd/install.sh deploy/RUNBOOK.md README.md cardea.example.yaml "$work/$name/"
	chmod -R u=rwX,go=rX "$work/$name"
	tar --create --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" "$name" | gzip -9n >"dist/$name.tar.gz"
	archives="$archives $name.tar.gz"
done
cd dist
# shellcheck disable=SC2086 # one word each
sha256sum $archives >SHA256SUMS
cat SHA256SUMS
