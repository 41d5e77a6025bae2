#!/usr/bin/env bash
# Runs the attach, enforce and detach tests on other kernels than the one this machine runs.
#
#   tests/kernels.sh [OPTION...] [VERSION...] [-- TEST-ARGUMENT...]
#
#   VERSION          6.1 or 6.12 (default: both), or any other whose cloud kernel apt offers
#   TEST-ARGUMENT    passed to the test binary: a filter, --exact, --nocapture, ...
#   --test NAME      run tests/tests/NAME.rs; may be repeated (default: all that attach, enforce and detach)
#   --binary FILE    run this test binary, building nothing; may be repeated
#   --programs DIR   take mseg-loader, msegd and msegctl from DIR, building nothing
#   --shell          a shell in the guest instead of the tests (leave it with `exit`)
#   --fresh          forget the downloaded kernels first
#
# Each kernel is Debian's own package, booted under qemu with an initramfs that holds the tests and the three programs.
# Software emulation is the default: it boots in five seconds and gives the same result on every machine, while /dev/kvm
# inside of a virtual machine is often there and broken. MSEG_QEMU_ACCEL=kvm asks for the other. MSEG_KERNELS_TIMEOUT is
# the limit of one guest in seconds (default 900).
#
# As root, what is missing of qemu, busybox and cpio is installed with apt. The kernels are unpacked under target/kernels
# and never installed. Exit status: 0 if every test passed on every kernel, 1 if one failed, 2 if it could not be run.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
helpers=$repository/tests/kernels
target=${CARGO_TARGET_DIR:-$repository/target}
work=$target/kernels
limit=${MSEG_KERNELS_TIMEOUT:-900}
accel=${MSEG_QEMU_ACCEL:-tcg}
# At least two, so that per-CPU maps and races are real.
cpus=$(($(nproc) < 2 ? 2 : $(nproc) > 4 ? 4 : $(nproc)))

# What the tests need of the kernel beside what is built in.
modules=(veth sch_ingress cls_bpf tcp_diag udp_diag)
# For a look around with --shell; the tests need none of them. Those that this machine lacks are left out.
tools=(ip tc ping bpftool)

versions=() names=() binaries=() arguments=() programs='' shell=0 fresh=0 guest='' failures=()

die() {
    printf 'kernels.sh: %s\n' "$*" >&2
    exit 2
}

say() {
    printf '== kernels: %s\n' "$*"
}

usage() {
    sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

parse_arguments() {
    while (($#)); do
        case $1 in
        --test) names+=("${2:?--test needs a name}"); shift ;;
        --binary) binaries+=("$(realpath -e -- "${2:-}")") || die "--binary needs a file"; shift ;;
        --programs) programs=$(realpath -e -- "${2:-}") || die "--programs needs a directory"; shift ;;
        --shell) shell=1 ;;
        --fresh) fresh=1 ;;
        -h | --help) usage && exit 0 ;;
        --) shift && arguments=("$@") && break ;;
        [0-9]*.[0-9]*) versions+=("$1") ;;
        *) die "unknown argument '$1' (see --help)" ;;
        esac
        shift
    done
    ((${#versions[@]})) || versions=(6.1 6.12)
    ((${#names[@]})) || names=(attach_enforce_detach lifecycle enforce hook_choice)
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root "$@"
}

install_tools() {
    local missing=()
    command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    command -v cpio >/dev/null || missing+=(cpio)
    command -v xz >/dev/null || missing+=(xz-utils)
    # A dynamic busybox would need its loader before anything runs; only the static one will do for /init.
    { command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; } || missing+=(busybox-static)
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "missing ${missing[*]}, and there is no apt-get to install them with"
    ((EUID == 0)) || die "missing: run 'apt-get install ${missing[*]}', or run this as root"
    say "installing ${missing[*]}"
    {
        apt_get install --yes --no-install-recommends "${missing[@]}" ||
            { apt_get update && apt_get install --yes --no-install-recommends "${missing[@]}"; }
    } >"$work/apt.log" 2>&1 || die "apt-get could not install ${missing[*]}: $(tail -3 "$work/apt.log")"
}

# The newest cloud kernel of series $1 that apt knows, or nothing. (6.1 must not find 6.12.)
newest_package() {
    apt-cache search --names-only "^linux-image-${1//./\\.}\\.[0-9].*-cloud-amd64\$" |
        awk '{ print $1 }' | sort --version-sort | tail -1
}

# Leaves target/kernels/VERSION/{vmlinuz,package,modules/*.ko,modules/order}.
fetch_kernel() {
    local version=$1 directory=$work/$1 scratch=$work/$1.new package
    [[ -f $directory/package ]] && return 0
    command -v dpkg-deb >/dev/null || die "unpacking Debian's kernels needs dpkg-deb"
    rm -rf "$directory" "$scratch"
    mkdir -p "$scratch"
    package=$(newest_package "$version")
    # The lists may be missing, or so old that what they name is gone.
    if [[ -z $package ]] || ! (cd "$scratch" && apt_get download "$package") >/dev/null 2>&1; then
        apt_get update || die "apt-get update failed"
        package=$(newest_package "$version")
        [[ -n $package ]] || die "apt offers no cloud kernel $version (Debian 12 with its security updates does)"
        (cd "$scratch" && apt_get download "$package") || die "cannot download $package"
    fi
    dpkg-deb -x "$scratch"/*.deb "$scratch/tree"
    mv "$scratch"/tree/boot/vmlinuz-* "$scratch/vmlinuz"
    collect_modules "$scratch"
    rm -rf "$scratch/tree" "$scratch"/*.deb
    # Written last and renamed as a whole: an interrupted download is never taken for a cached one.
    printf '%s\n' "${package#linux-image-}" >"$scratch/package"
    mv "$scratch" "$directory"
}

# Unpacks the wanted modules and what they depend on, and writes the order to load them in.
collect_modules() {
    mkdir "$1/modules"
    : >"$1/modules/order"
    local module
    for module in "${modules[@]}"; do
        collect_module "$1" "$module"
    done
}

collect_module() {
    local directory=$1 name=$2 file dependency dependencies
    grep -qx "$name.ko" "$directory/modules/order" && return 0
    file=$(find "$directory/tree" -name "$name.ko" -o -name "$name.ko.xz" | head -1)
    if [[ -z $file ]]; then
        find "$directory/tree" -name modules.builtin -exec cat {} + | grep -q "/$name\\.ko\$" && return 0
        die "the kernel package has no module '$name'"
    fi
    case $file in
    *.xz) xz --decompress --stdout "$file" >"$directory/modules/$name.ko" ;;
    *) cp "$file" "$directory/modules/" ;;
    esac
    # The package is never installed, so there is no modules.dep: read what depmod would.
    dependencies=$(tr '\0' '\n' <"$directory/modules/$name.ko" | sed -n 's/^depends=//p' | tr ',' ' ')
    for dependency in $dependencies; do
        collect_module "$directory" "$dependency"
    done
    printf '%s\n' "$name.ko" >>"$directory/modules/order"
}

build_tests() {
    local name log=$work/cargo.json
    if [[ -z $programs ]]; then
        cargo build --quiet --manifest-path "$repository/Cargo.toml" -p mseg-loader -p msegd -p msegctl ||
            die "the programs do not build"
        programs=$target/debug
    fi
    ((${#binaries[@]} || shell)) && return 0
    # The whole workspace, so that what `cargo test --workspace` built is used again.
    for name in "${names[@]}"; do
        cargo test --quiet --no-run --message-format=json --manifest-path "$repository/Cargo.toml" --workspace \
            --test "$name" >"$log" || die "the test '$name' does not build"
        # One line for each artefact; the tests' own carries "kind":["test"].
        binaries+=("$(sed -n 's/.*"kind":\["test"\].*"executable":"\([^"]*\)".*/\1/p' "$log" | tail -1)")
        [[ -x ${binaries[-1]} ]] || die "cargo named no executable for the test '$name'"
    done
}

# Copies a program to the same place in the root, or to directory $3 of it, with the libraries it is linked to.
add_program() {
    local root=$1 file=$2 directory=${3:-$(dirname "$2")} library
    mkdir -p "$root$directory"
    cp --dereference "$file" "$root$directory/"
    # Debug information is most of a test binary, and all of the guest's memory would go to it.
    strip --strip-debug "$root$directory/$(basename "$file")" 2>/dev/null || true
    ldd "$file" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
        [[ -e $root$library ]] && continue
        mkdir -p "$root$(dirname "$library")"
        cp --dereference "$library" "$root$library"
    done
}

# The part of the initramfs that every kernel shares.
make_root() {
    local root=$1 tool path
    rm -rf "$root"
    mkdir -p "$root"/{bin,sbin,dev,etc,proc,sys,run,tmp,tests,programs,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    install -m 755 "$helpers/init" "$root/init"
    printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    for tool in "${tools[@]}"; do
        path=$(command -v "$tool") || continue
        add_program "$root" "$(realpath "$path")" /usr/bin
    done
    # busybox' own shell takes its applets for `ip` and the like, whatever PATH says: give `sh -c` this machine's shell.
    add_program "$root" "$(realpath /bin/sh)" /bin
    ln -s "$(basename "$(realpath /bin/sh)")" "$root/bin/sh"
    for tool in mseg-loader msegd msegctl; do
        [[ -x $programs/$tool ]] || die "there is no $tool in $programs"
        add_program "$root" "$programs/$tool" /programs
    done
    for path in "${binaries[@]}"; do
        add_program "$root" "$path" /tests
    done
    printf '%q ' "${arguments[@]}" >"$root/arguments"
}

# Boots one kernel; the guest's console goes to stdout and to target/kernels/VERSION.log.
run_guest() {
    local version=$1 directory=$work/$1 log=$work/$1.log append='console=ttyS0 quiet panic=-1 oops=panic'
    local initramfs=$work/$1.initramfs input=/dev/null status=0
    cp "$directory"/modules/* "$work/root/modules/"
    (cd "$work/root" && find . | cpio --create --format=newc --owner=0:0 --quiet) >"$initramfs"
    if ((shell)); then
        append+=' mseg.shell'
        limit=86400 input=/dev/stdin
    fi
    say "Linux $(cat "$directory/package") ($accel)"
    # q35, not the leaner microvm: without an HPET the kernel's clock calibration hangs now and then under emulation.
    timeout --foreground --kill-after=5 "$limit" qemu-system-x86_64 \
        -machine q35 -accel "$accel" -cpu max -smp "$cpus" -m 1024 \
        -no-user-config -nodefaults -display none -no-reboot \
        -chardev "stdio,id=console,signal=off,logfile=$log,logappend=off" -serial chardev:console \
        -kernel "$directory/vmlinuz" -initrd "$initramfs" -append "$append" <"$input" &
    guest=$!
    wait "$guest" || status=$?
    guest=''
    rm -f "$initramfs"
    judge "$version" "$log" "$status"
}

# Passed means: the guest said so itself, at least one test ran, and the kernel had nothing to complain about.
judge() {
    local version=$1 log=$2 status=$3 passed
    sed -i 's/\r$//' "$log"
    passed=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    if ((status == 124 || status == 137)); then
        failures+=("$version: no end within $limit s")
    elif ! grep -qx 'mseg-guest: exit 0' "$log"; then
        failures+=("$version: $(grep -x 'mseg-guest: exit .*' "$log" || echo "the guest died (qemu: $status)")")
    elif ((!shell && passed == 0)); then
        failures+=("$version: no test ran (a filter that matches nothing?)")
    elif grep -E 'WARNING: CPU|BUG:|Oops:|Call Trace|Kernel panic|rcu.*stall' "$log" >/dev/null; then
        failures+=("$version: the kernel complained, see $log")
    else
        say "Linux $(cat "$work/$version/package"): $passed passed"
    fi
}

main() {
    local version started=$SECONDS
    # An interrupted run takes its guest along.
    trap '[[ -z $guest ]] || kill "$guest"' EXIT
    trap 'exit 2' INT TERM
    parse_arguments "$@"
    [[ $(uname -m) == x86_64 ]] || die "the guests are x86_64; this machine is $(uname -m)"
    mkdir -p "$work"
    ((fresh)) && rm -rf "${versions[@]/#/$work/}"
    install_tools
    build_tests
    for version in "${versions[@]}"; do
        fetch_kernel "$version"
    done
    make_root "$work/root"
    for version in "${versions[@]}"; do
        run_guest "$version"
    done
    if ((${#failures[@]})); then
        printf '== kernels: FAILED on %s\n' "${failures[@]}"
        exit 1
    fi
    say "all passed on ${versions[*]} in $((SECONDS - started)) s"
}

main "$@"
