#!/bin/sh
# Passes if the compiler accepts the control (KB_MIX=0) and refuses every mixture of address types.
try() { "${CC:-cc}" -std=c11 -fsyntax-only -I "${0%/*}/../../src" -DKB_MIX="$1" "${0%/*}/paddr_is_not_vaddr.c"; }
try 0 && for mix in 1 2 3 4 5; do ! try "$mix" 2>/dev/null || { echo "mixture $mix compiles" >&2; exit 1; }; done
