#!/bin/sh
# Installs a Cardea node as a systemd service, or upgrades one: the files are replaced, configuration and state stay.
#
#   install.sh [--join INVITATION] [--no-start] [BINARY]
#
# BINARY is the program, by default the one beside this script. --join makes the node a member of the cluster that the
# invitation is from ("cardea token" there prints one); "-" reads it from standard input, which keeps it from lists of processes.
# Without, a node that is new begins a cluster. DESTDIR installs below another root and starts nothing.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=${DESTDIR:-}
join=
start=yes
binary=
while [ $# -gt 0 ]; do
	case $1 in
	--join)
		join=${2:?--join needs an invitation}
		shift
		;;
	--no-start) start=no ;;
	-h | --help)
		sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	-*)
		echo "install.sh: $1 is no option" >&2
		exit 2
		;;
	*) binary=$1 ;;
	esac
	shift
done
[ -n "$binary" ] || binary=$here/cardea
if [ ! -x "$binary" ]; then
	echo "install.sh: $binary is no program" >&2
	exit 2
fi
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
	echo "install.sh: must be run as root" >&2
	exit 2
fi
if [ "$join" = - ]; then
	read -r join
fi
"$binary" version >/dev/null # the right machine's program, before anything is touched

# put MODE FILE TARGET: replaces a file as a whole, so that a running program keeps its own.
put() {
	mkdir -p "$root$(dirname "$3")"
	cp "$2" "$root$3.new"
	chmod "$1" "$root$3.new"
	mv "$root$3.new" "$root$3"
}

put 755 "$binary" /usr/local/bin/cardea
put 644 "$here/cardea.service" /etc/systemd/system/cardea.service
put 644 "$here/cardea.sysusers" /usr/lib/sysusers.d/cardea.conf
put 644 "$here/cardea.sysctl" /etc/sysctl.d/90-cardea.conf
for doc in "$here/RUNBOOK.md" "$here/../RUNBOOK.md"; do
	if [ -f "$doc" ]; then
		put 644 "$doc" /usr/local/share/doc/cardea/RUNBOOK.md
		break
	fi
done

umask 027
mkdir -p "$root/etc/cardea"
[ -e "$root/etc/cardea/cardea.yaml" ] || put 640 "$here/cardea.yaml" /etc/cardea/cardea.yaml
if [ -n "$join" ] || [ ! -e "$root/etc/cardea/invitation" ]; then
	printf '%s\n' "$join" >"$root/etc/cardea/invitation"
	chmod 640 "$root/etc/cardea/invitation"
fi

if [ -n "$root" ]; then
	echo "installed below $root"
	exit 0
fi
systemd-sysusers cardea.conf
chgrp -R cardea /etc/cardea
systemctl daemon-reload
sysctl -q -p /etc/sysctl.d/90-cardea.conf || echo "install.sh: the kernel did not take all of /etc/sysctl.d/90-cardea.conf" >&2
if [ "$start" = yes ]; then
	systemctl enable --quiet cardea
	systemctl restart cardea
	/usr/local/bin/cardea status --config /etc/cardea/cardea.yaml
fi
