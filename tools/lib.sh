# shellcheck shell=sh disable=SC2154 # root is the caller's
# Shared by kb and the scripts behind its verbs: packages, build folders, builds. The caller sets
# $root, the top of the repository. Nothing here changes the current directory: benches are named
# relative to where the user stands.

say() {
    printf 'kb: %s\n' "$*" >&2
}

die() {
    say "$@"
    exit 2
}

# list_packages SECTION...: the names in those sections of packages.txt.
list_packages() {
    awk -v want=" $* " '
        { sub(/#.*/, "") }
        /^\[/ { gsub(/[][ \t]/, ""); on = index(want, " " $0 " "); next }
        on && NF && !seen[$1]++ { print $1 }' "$root/packages.txt"
}

# need SECTION...: installs what is missing. A stamp per section, holding the checksum of the list,
# keeps the usual case to one comparison.
need() {
    sum=$(cksum <"$root/packages.txt")
    unchecked=
    for section; do
        seen=
        [ ! -r "$root/build/packages/$section" ] || read -r seen <"$root/build/packages/$section" || :
        [ "$seen" = "$sum" ] || unchecked="$unchecked $section"
    done
    [ -n "$unchecked" ] || return 0
    mkdir -p "$root/build/packages"
    # shellcheck disable=SC2086 # a list of words
    wanted=$(list_packages $unchecked)
    if command -v dpkg-query >/dev/null 2>&1; then
        install_missing
    else
        check_without_dpkg
    fi
    for section in $unchecked; do
        printf '%s\n' "$sum" >"$root/build/packages/$section"
    done
}

install_missing() {
    # shellcheck disable=SC2016,SC2086 # dpkg's own variables; a list of words
    missing=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null || :; echo; } |
        awk -v wanted="$(printf '%s ' $wanted)" '
            $1 == "installed" { have[$2] = 1 }
            END { n = split(wanted, name, " ")
                  for (i = 1; i <= n; i++) if (!(name[i] in have)) printf "%s ", name[i] }')
    missing=${missing% }
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        say "Debian packages are missing, and installing them takes root. Please run:"
        die "  sudo apt-get update && sudo apt-get install --no-install-recommends -y $missing"
    fi
    say "installing Debian packages: $missing"
    log=$root/build/packages.log
    # An update that fails for one unrelated source need not stop the installation.
    # shellcheck disable=SC2086 # lists of words
    {
        $as_root apt-get -q update || :
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
            install --no-install-recommends -y $missing
    } >"$log" 2>&1 </dev/null || {
        tail -n 40 "$log" >&2
        die "apt-get could not install them (whole log: $log)"
    }
}

# Not Debian: say once what is needed, and carry on if the build can work with what there is.
check_without_dpkg() {
    # shellcheck disable=SC2086 # a list of words
    say "not a Debian system; what Debian 12 calls" $wanted "is needed here"
    for tool in cmake ninja pkg-config; do
        command -v "$tool" >/dev/null 2>&1 || die "$tool is not installed; please install it"
    done
    for library in lua5.4 yaml-0.1 cmocka; do
        pkg-config --exists "$library" || die "pkg-config does not find $library; please install it"
    done
}

# need_compiler: packages of a compiler other than gcc, when CC asks for it.
need_compiler() {
    case ${CC:-gcc} in
    *clang*) need clang ;;
    esac
}

# set_dir KIND: $dir becomes build/KIND, or build/KIND-clang when CC names another compiler than gcc.
set_dir() {
    case ${CC:-gcc} in
    gcc | cc) dir=$root/build/$1 ;;
    *) dir=$root/build/$1-$(printf %s "${CC##*/}" | tr -c 'A-Za-z0-9._-' _) ;;
    esac
}

# configure KIND: KIND is release, debug (ASan and UBSan), tsan or fuzz; sets $dir. With werror=ON
# warnings become errors, and stay errors in that folder.
configure() {
    set_dir "$1"
    if [ -f "$dir/build.ninja" ]; then
        [ "${werror-}" = ON ] || return 0
        ! grep -q '^KB_WERROR:BOOL=ON' "$dir/CMakeCache.txt" || return 0
    fi
    case $1 in
    debug) set -- -DCMAKE_BUILD_TYPE=Debug -DKB_SANITIZE=ON ;;
    tsan) set -- -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS=-fsanitize=thread ;;
    fuzz) set -- -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DCMAKE_C_FLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" ;;
    *) set -- -DCMAKE_BUILD_TYPE=Release ;;
    esac
    mkdir -p "$dir"
    cmake -S "$root" -B "$dir" -G Ninja "$@" ${werror:+"-DKB_WERROR=$werror"} >"$dir.log" 2>&1 ||
        build_failed
}

# build KIND [TARGET...]: configures where needed, builds. Silent when everything is up to date, one
# line when not, the whole output when it fails. Two builds of one tree wait for each other.
build() {
    mkdir -p "$root/build"
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$root/build/lock"
        flock 9
    fi
    configure "$1"
    kind=${dir##*/}
    shift
    { ninja -C "$dir" ${KB_JOBS:+-j "$KB_JOBS"} "$@" 2>&1 || echo 'kb: build failed'; } |
        watch_build || build_failed
    exec 9>&-
}

# watch_build: ninja's output on standard input; status 1 when it failed.
watch_build() {
    announced=
    : >"$dir.log"
    while IFS= read -r line; do
        case $line in
        'kb: build failed') return 1 ;;
        *'Re-checking globbed directories'*) continue ;;
        *'Re-running CMake'*) ;; # its steps are not those of the build
        '['*'/'*']'*)
            steps=${line%%]*}
            steps=${steps#*/}
            if [ -z "$announced" ] && [ "$steps" -gt 0 ]; then
                announced=1
                say "building $kind ($steps steps)"
            fi
            ;;
        esac
        printf '%s\n' "$line" >>"$dir.log"
    done
}

build_failed() {
    cat "$dir.log" >&2
    rm -rf "$root/build/packages" # something may have been removed since they were checked
    die "build failed (log: $dir.log; ./kb clean helps if this tree was moved)"
}
