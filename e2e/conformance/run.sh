#!/bin/bash
# Runs a Janus API conformance runner against nodes of this tree.
#
#   e2e/conformance/run.sh DIR [runner's arguments...]
#
# DIR holds the runner's Go sources, targets.json (variant -> addresses) and transcripts/. One node is started for every
# variant that has both an entry in targets.json and a configuration VARIANT.yaml beside this script. Ends with the
# runner's closing line and its exit status. BIN names the node's binary; RUNDIR, if set, keeps logs and summary.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || { echo "usage: $0 DIR [runner's arguments...]" >&2; exit 2; }
dir=$(cd "$1" && pwd)
shift
for f in go.mod targets.json transcripts; do
	[ -e "$dir/$f" ] || { echo "$0: no $f in $dir" >&2; exit 2; }
done
bin=${BIN:-$top/bin/cardea}
[ -x "$bin" ] || { echo "$0: $bin is missing: make" >&2; exit 2; }

work=$(mktemp -d)
logs=${RUNDIR:-$work/run}
mkdir -p "$logs"
pids=()

# shellcheck disable=SC2317 # called by the trap
stop() {
	local pid
	for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	[ -z "${gate:-}" ] || kill "$gate" 2>/dev/null || true # last: nodes that stop have events to tell
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# The runner is built in a copy: DIR may be read-only, and is not ours to write to.
cp -r "$dir" "$work/runner"
chmod -R u+w "$work/runner"
(cd "$work/runner" && GOFLAGS=-mod=mod go build -o "$work/runner.bin" .)

# Scenarios of events receive them at targets.json's ev_http, each for as long as it runs. Events of the time between go to the gate,
# where events.yaml posts to.
receiver=$(sed -n 's/.*"ev_http"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$dir/targets.json")
if [ -n "$receiver" ]; then
	(cd "$top" && go build -o "$work/gate" ./e2e/conformance/gate)
	"$work/gate" 127.0.0.1:28291 "$receiver" </dev/null >"$logs/gate.log" 2>&1 &
	gate=$!
fi

for config in "$here"/*.yaml; do
	variant=$(basename "$config" .yaml)
	grep -q "\"$variant\"[[:space:]]*:" "$dir/targets.json" || continue
	"$bin" run --config "$config" --data-dir "$work/data-$variant" </dev/null >"$logs/$variant.log" 2>&1 &
	pids+=($!)
	started="${started:-} $variant"
done
[ ${#pids[@]} -gt 0 ] || { echo "$0: targets.json names no variant of $here" >&2; exit 2; }

i=0
for variant in $started; do
	pid=${pids[$i]}
	i=$((i + 1))
	for _ in $(seq 100); do
		sleep 0.1
		kill -0 "$pid" 2>/dev/null || break # it said why, and who answers on its ports is somebody else
		"$bin" status --config "$here/$variant.yaml" >/dev/null 2>&1 && continue 2
	done
	echo "$0: node $variant does not get ready:" >&2
	tail -n 20 "$logs/$variant.log" >&2
	exit 1
done
echo "nodes:$started"

status=0
: >"$logs/runner.out" # for tail, which may come first
(cd "$work/runner" && "$work/runner.bin" -targets targets.json -check transcripts -summary "$logs/summary.json" "$@") </dev/null >>"$logs/runner.out" 2>&1 &
runner=$!
tail -n +1 -f --pid=$runner "$logs/runner.out" &
shown=$!
wait $runner || status=$?
wait $shown || true

# A node that died on the way is a failure, whatever the runner says.
i=0
for variant in $started; do
	if ! kill -0 "${pids[$i]}" 2>/dev/null; then
		echo "node $variant died:"
		tail -n 40 "$logs/$variant.log"
		[ $status -ne 0 ] || status=1
		tail -n 1 "$logs/runner.out" # the closing line stays the last
	fi
	i=$((i + 1))
done
exit $status
