#!/bin/sh
# ./kb fuzz [NAME] [SECONDS]: builds the core and tests/fuzz/fuzz_NAME.c (all of them without a NAME)
# with clang's libFuzzer, ASan and UBSan, and runs each for SECONDS (60). Inputs worth keeping
# collect in build/fuzz-corpus/NAME; tests/fuzz/seeds/NAME, where there is one, is read too.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"

only=
seconds=60
for argument; do
    case $argument in
    *[!0-9]*) only=$argument ;;
    *) seconds=$argument ;;
    esac
done

CC=clang
export CC
need run clang
build fuzz kb_core
ran=0
failed=0
for source in "$root"/tests/fuzz/fuzz_*.c; do
    name=${source##*/fuzz_}
    name=${name%.c}
    [ -f "$source" ] || continue
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    # shellcheck disable=SC2046 # a list of flags
    clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
        -I "$root/src" -DKB_SOURCE_DIR="\"$root\"" "$source" "$dir/libkb_core.a" \
        $(pkg-config --cflags --libs yaml-0.1) -lm -lpthread -o "$dir/fuzz_$name"
    corpus=$root/build/fuzz-corpus/$name
    mkdir -p "$corpus"
    set -- "$corpus"
    [ ! -d "$root/tests/fuzz/seeds/$name" ] || set -- "$@" "$root/tests/fuzz/seeds/$name"
    ran=$((ran + 1))
    if "$dir/fuzz_$name" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$root/build/fuzz-corpus/$name-" "$@" >"$dir/fuzz_$name.log" 2>&1; then
        executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/fuzz_$name.log")
        echo "  $name: $executions executions, nothing found"
    else
        failed=$((failed + 1))
        echo "  $name: FAILED"
        tail -n 60 "$dir/fuzz_$name.log"
    fi
done
[ "$ran" -gt 0 ] || die "no such fuzz target: tests/fuzz/fuzz_${only:-*}.c"
echo "$((ran - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
