#!/bin/sh
# Rewrite the generated part of docs/topology.md: everything between its two markers becomes what
# `kernbench list --markdown` prints. tests/cli/docs.t checks that it is current.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
file=$root/docs/topology.md
new=$(mktemp)
trap 'rm -f "$new"' EXIT
awk '/^<!-- begin/ { print; exit } { print }' "$file" >"$new"
"$root/kb" list --markdown >>"$new"
awk '/^<!-- end/ { found = 1 } found' "$file" >>"$new"
cat "$new" >"$file"
