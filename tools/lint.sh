#!/bin/bash
# ./kb lint: formatting and static checks of every file of ours, tracked or not yet tracked. Each
# tool counts as one case; its findings are printed.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"

need run lint
need_compiler
configure debug # clang-tidy and cppcheck read its compile_commands.json; asserts tell them what holds
cd "$root"

c_files=() lua_files=() shell_files=()
while IFS= read -r -d '' file; do
    [ -f "$file" ] || continue
    case $file in
    *.c | *.h) c_files+=("$file") ;;
    *.lua) lua_files+=("$file") ;;
    *.sh) shell_files+=("$file") ;;
    *.*) [[ $file != .ci/* ]] || shell_files+=("$file") ;;
    *)
        IFS= read -r first <"$file" || :
        [[ ${first-} != '#!'*sh ]] || shell_files+=("$file")
        ;;
    esac
done < <(git ls-files -z --cached --others --exclude-standard)

compiled=()
for file in "${c_files[@]}"; do
    ! grep -qF "\"file\": \"$root/$file\"" "$dir/compile_commands.json" || compiled+=("$file")
done

passed=0 failed=0
jobs=${KB_JOBS:-$(nproc)}

# check NAME COUNT COMMAND...: one case.
check() {
    local name=$1 count=$2 output begin=$SECONDS
    shift 2
    if [ "$count" -gt 0 ] && output=$("$@" 2>&1 </dev/null); then
        passed=$((passed + 1))
        printf '  %-12s ok, %d files  (%d s)\n' "$name" "$count" $((SECONDS - begin))
    else
        failed=$((failed + 1))
        printf '  %-12s FAILED, %d files  (%d s)\n' "$name" "$count" $((SECONDS - begin))
        printf '%s\n' "${output:-no file to check}"
    fi
}

tidy() {
    # "N warnings generated" is about headers of others.
    printf '%s\0' "${compiled[@]}" | xargs -0 -n 1 -P "$jobs" clang-tidy --quiet -p "$dir" 2>&1 |
        grep -vE '^([0-9]+ warnings? generated|Suppressed |Use -header-filter)'
    # shellcheck disable=SC2086 # the statuses of the pipe
    [ "${PIPESTATUS[1]}" -eq 0 ]
}

check clang-format "${#c_files[@]}" clang-format --dry-run -Werror "${c_files[@]}"
check cppcheck "${#compiled[@]}" cppcheck --quiet --error-exitcode=1 --inline-suppr -j "$jobs" \
    --enable=warning,performance,portability --suppress=missingIncludeSystem \
    --std=c11 -I src "${compiled[@]}"
check clang-tidy "${#compiled[@]}" tidy
check luacheck "${#lua_files[@]}" luacheck --no-color --quiet --codes "${lua_files[@]}"
check shellcheck "${#shell_files[@]}" shellcheck -x "${shell_files[@]}"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
