#!/bin/sh
# Checks the direction of #include: a file may include headers of its own layer and of the layers
# below it. Only src/bind and src/main.c know Lua.
#   tests/layers.sh          checks src/, then that planted violations are caught
#   tests/layers.sh DIR      checks DIR only: prints violations, status 1 if there are any
set -eu

layers='base sim topo addr data hw engine out bind main.c' # lowest first

# check DIR: prints every violation in DIR as file:line: message.
check() (
    cd "$1" || return 1
    sources=$(find . -type f -name '*.[ch]' | sed 's,^\./,,' | LC_ALL=C sort)
    [ -n "$sources" ] || {
        echo "$1: no C source to check"
        return 1
    }
    # shellcheck disable=SC2086 # file names of ours have no blanks
    awk -v layers="$layers" -v all="$(printf '%s ' $sources)" '
        function bad(text) { printf "src/%s:%d: %s\n", FILENAME, FNR, text; failed = 1 }
        function layer(path) { sub(/\/.*/, "", path); return path }
        BEGIN {
            n = split(layers, name, " ")
            for (i = 1; i <= n; i++) rank[name[i]] = i
            n = split(all, name, " ")
            for (i = 1; i <= n; i++) exists[name[i]] = 1
        }
        FNR == 1 && !(layer(FILENAME) in rank) { bad("belongs to no layer (" layers ")") }
        /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
            quoted = index($0, "\"") > 0 && !index($0, "<")
            header = $0
            sub(/^[^<"]*[<"]/, "", header)
            sub(/[>"].*/, "", header)
            own = layer(FILENAME)
            if (header ~ /^(lua|lauxlib|lualib|luaconf)\.h(pp)?$/ && own != "bind" && own != "main.c")
                bad("only src/bind and src/main.c may include " header)
            folder = FILENAME
            sub(/[^\/]*$/, "", folder)
            beside = folder header
            while (sub(/[^\/]+\/\.\.\//, "", beside)) ;
            if (quoted && beside in exists) target = beside
            else if (header in exists) target = header
            else {
                if (quoted && header !~ /^(lua|lauxlib|lualib|luaconf)\.h$/)
                    bad("no such header in src: " header)
                next
            }
            if (rank[layer(target)] > rank[own])
                bad(own " may not include " target ", which is above it")
        }
        END { exit failed }' $sources
)

if [ $# -gt 0 ]; then
    check "$1"
    exit
fi

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

outcome() { # STATUS NAME
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $2"
    fi
}

check "$root/src" && status=0 || status=$?
outcome "$status" "src/ includes only downwards"

# planted FILE LINE: in a small correct tree, that line must be reported.
planted() {
    rm -rf "$work/src"
    for folder in base sim topo addr data hw/pe engine out bind; do
        mkdir -p "$work/src/$folder"
        echo '#include <stdint.h>' >"$work/src/$folder/${folder##*/}.h"
    done
    echo '#include "base/base.h"' >"$work/src/sim/sim.c"
    echo '#include "pe.h"' >"$work/src/hw/pe/pe.c"
    echo '#include <lua.h>' >"$work/src/bind/bind.c"
    echo '#include "bind/bind.h"' >"$work/src/main.c"
    [ -z "$1" ] || echo "$2" >>"$work/src/$1"
    found=$(check "$work/src") && status=0 || status=$?
    if [ -z "$1" ]; then
        outcome "$status" "a tree without violations is reported: $found"
    else
        case $found in
        "src/$1:"*) outcome 0 "" ;;
        *) outcome 1 "not caught in src/$1: $2" ;;
        esac
    fi
}
planted '' ''
planted base/base.h '#include "sim/sim.h"'
planted sim/sim.c '#include "hw/pe/pe.h"'
planted topo/topo.h '#  include "addr/addr.h"'
planted hw/pe/pe.c '#include "../../engine/engine.h"'
planted engine/engine.h '#include <out/out.h>'
planted out/out.h '#include <lauxlib.h>'
planted data/data.h '#include "data/nowhere.h"'
planted stray.h '#include "base/base.h"'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
