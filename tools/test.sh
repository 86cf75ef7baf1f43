#!/bin/sh
# ./kb test [GROUP...]: builds Debug (ASan, UBSan) and Release, runs every group of tests, prints a
# line per group, the output of those that failed, and one closing line that counts all cases.
# A GROUP is a name as printed, or the part before its dash (c, lua, cli).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"

# Longest first: two run at a time.
groups='lua-gc lua-debug c-debug cli-debug c-release lua-release cli-release compile layers'
results=$root/build/test
one_test_seconds=120

# closing_line: the sum of the lines `N passed, N failed, N skipped` on standard input.
closing_line() {
    awk '{ passed += $1; failed += $3; skipped += $5 }
        END { printf "%d passed, %d failed", passed, failed
              if (skipped) printf ", %d skipped", skipped
              print "" }'
}

only_closing_lines() {
    grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' || :
}

# C tests: ctest says which programs failed, its log holds what cmocka printed. A program that
# crashed, or that ran no case, counts as one failure.
run_c() {
    ctest --test-dir "$dir" --output-on-failure --no-tests=error --timeout "$one_test_seconds" || :
    awk '
        / Testing: / { name = $NF; program = 1; ran = passed = failed = skipped = 0 }
        /^\[  PASSED  \] [0-9]+ test/ { passed += $4; ran = 1 }
        /^\[  FAILED  \] [0-9]+ test/ { failed += $4; ran = 1 }
        /^\[  SKIPPED \] [0-9]+ test/ { skipped += $4; ran = 1 }
        /^\[       OK \] / { ok++ }
        /^Test (Passed|Failed|time)/ && $2 != "time" && program {
            if (!ran) { passed = ok; if ($2 == "Passed." && name ~ /^c\./) print name " ran no test" }
            if (!ran && $2 == "Passed." && name !~ /^c\./) passed = 1
            else if (!failed && ($2 != "Passed." || passed + skipped == 0)) failed = 1
            sum_passed += passed; sum_failed += failed; sum_skipped += skipped
            program = 0
        }
        / Testing: / { ok = 0 }
        END { printf "%d passed, %d failed, %d skipped\n", sum_passed, sum_failed, sum_skipped }
    ' "$dir/Testing/Temporary/LastTest.log"
}

# Lua tests: LuaUnit's last line counts. A file that crashed, or that ran no case, counts as one
# failure. Only what failed is printed.
run_lua() {
    [ -x "$dir/kb_lua" ] || echo "there is no $dir/kb_lua"
    for file in "$root"/tests/lua/test_*.lua; do
        status=0
        timeout "$one_test_seconds" "$dir/kb_lua" "$file" >"$TMPDIR/output" 2>&1 </dev/null || status=$?
        counts=$(awk '
            /^Ran [0-9]+ tests? in / {
                for (i = 1; i < NF; i++) {
                    if ($(i + 1) ~ /^success/) passed = $i
                    if ($(i + 1) ~ /^(failure|error)/) failed += $i
                    if ($(i + 1) ~ /^skipped/) skipped = $i
                }
            }
            END { printf "%d passed, %d failed, %d skipped", passed, failed, skipped }' "$TMPDIR/output")
        case $status:$counts in
        0:'0 passed, 0 failed, 0 skipped')
            counts='0 passed, 1 failed'
            echo "$file ran no test"
            ;;
        [1-9]*:*', 0 failed,'*) counts=$(printf '%s\n0 passed, 1 failed\n' "$counts" | closing_line) ;;
        esac
        case $counts in
        *' 0 failed'*) ;;
        *)
            echo "== $file (exit code $status)"
            cat "$TMPDIR/output"
            ;;
        esac
        echo "$counts"
    done
}

# Compile checks: one case, told by the exit code, unless the script counts by itself.
run_compile() {
    "$root/tests/compile/run.sh" >"$TMPDIR/output" 2>&1 || status=$?
    cat "$TMPDIR/output"
    [ "$status" -eq 0 ] || return "$status"
    [ -n "$(only_closing_lines <"$TMPDIR/output")" ] || echo '1 passed, 0 failed'
}

# in_group NAME: runs it, with its own temporary folder and log.
in_group() {
    log=$results/$1.log
    TMPDIR=$results/$1.tmp
    export TMPDIR
    mkdir -p "$TMPDIR"
    case $1 in
    *-debug) set_dir debug ;;
    *) set_dir release ;;
    esac
    begin=$(date +%s)
    status=0
    case $1 in
    c-*) run_c ;;
    lua-gc) KB_HARSH_GC=1 run_lua ;;
    lua-*) run_lua ;;
    cli-*) lua5.4 "$root/tests/cli/run.lua" --bin "$dir" ;;
    layers) "$root/tests/layers.sh" ;;
    compile) run_compile ;;
    esac >"$log" 2>&1 </dev/null || status=$?
    line=$(only_closing_lines <"$log" | closing_line)
    case $status:$line in
    0:'0 passed, 0 failed'*)
        line='0 passed, 1 failed'
        echo "this group ran nothing" >>"$log"
        ;;
    0:*) ;;
    *' 0 failed'*)
        line=$(printf '%s\n0 passed, 1 failed\n' "$line" | closing_line)
        echo "this group ended with exit code $status" >>"$log"
        ;;
    esac
    echo "$line" >"$results/$1.result"
    rm -rf "$TMPDIR"
    printf '  %-12s %s  (%d s)\n' "$1" "$line" $(($(date +%s) - begin))
}

if [ "${1-}" = --group ]; then
    in_group "$2"
    exit 0
fi

chosen=
for group in $groups; do
    [ $# -gt 0 ] || chosen="$chosen $group"
    for name; do
        [ "$name" != "$group" ] && [ "$name" != "${group%%-*}" ] || chosen="$chosen $group"
    done
done
[ -n "$chosen" ] || die "no such group of tests: $* (there are: $groups)"

need run test
need_compiler
jobs=${KB_JOBS:-$(nproc)}
export KB_JOBS="$jobs"
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
rm -rf "$results"
mkdir -p "$results"

for type in debug release; do
    case $type:$chosen in
    debug:*-debug* | release:*-release* | release:*-gc*) ;;
    *) continue ;;
    esac
    begin=$(date +%s)
    # In a shell of its own: a failed build ends that shell.
    if ! (werror=ON && build "$type"); then
        echo "  build-$type failed"
        echo "0 passed, 1 failed"
        exit 1
    fi
    printf '  %-12s done  (%d s)\n' "build-$type" $(($(date +%s) - begin))
done

# shellcheck disable=SC2086 # a list of words
printf '%s\n' $chosen | xargs -P "$jobs" -n 1 "$0" --group || :

for group in $chosen; do
    case $(cat "$results/$group.result" 2>/dev/null || echo '0 passed, 1 failed' | tee "$results/$group.result") in
    *' 0 failed'*) ;;
    *)
        printf '\n==== %s\n' "$group"
        # Indented, so that a group's own closing line is not taken for the one of the whole.
        sed 's/^/  /' "$results/$group.log"
        ;;
    esac
done
line=$(cat "$results"/*.result | closing_line)
echo "$line"
case $line in
*' passed, 0 failed'*) ;;
*) exit 1 ;;
esac
