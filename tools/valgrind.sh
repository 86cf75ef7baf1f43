#!/bin/sh
# ./kb valgrind [PATTERN]: the C and Lua tests of the Release build under valgrind; only those whose
# name contains PATTERN, if one is given.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"

KB_VALGRIND=1 # tests that measure memory ask for it
export KB_VALGRIND

need run test valgrind
need_compiler
build release
passed=0
failed=0
output=$root/build/valgrind.log

# check NAME COMMAND...
check() {
    name=$1
    shift
    case $name in
    *"$pattern"*) ;;
    *) return 0 ;;
    esac
    if valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect \
        "$@" >"$output" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "  $name ok"
    else
        failed=$((failed + 1))
        echo "  $name FAILED"
        cat "$output"
    fi
}

pattern=${1-}
for program in "$dir"/test_*; do
    [ ! -x "$program" ] || check "${program##*/}" "$program"
done
for file in "$root"/tests/lua/test_*.lua; do
    [ ! -x "$dir/kb_lua" ] || check "${file##*/}" "$dir/kb_lua" "$file"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
