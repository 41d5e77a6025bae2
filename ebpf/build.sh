#!/usr/bin/env bash
# Rebuilds the BPF objects in ebpf/prebuilt/, and for each the record of what it was built from and with: mseg.o and
# mseg.toml, the filter; floor.o and floor.toml, what the benchmarks compare it with.
#
#   ebpf/build.sh                       build, and write all four
#   ebpf/build.sh --check               build, and fail unless the committed objects are byte-identical
#   ebpf/build.sh --install-toolchain   install the recorded toolchain first (Debian, as root)
#   ebpf/build.sh --record OBJECT       print the record of the sources of mseg or floor alone
#
# Where the recorded toolchain is not present the build still works with any nightly Rust that has rust-src, and
# bpf-linker (MSEG_BPF_RUSTC, MSEG_BPF_CARGO, MSEG_BPF_STRIP), but the bytes may differ.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

linker_version=0.13.0
llvm=22
rustc=${MSEG_BPF_RUSTC:-/usr/bin/rustc}
cargo=${MSEG_BPF_CARGO:-/usr/bin/cargo}
strip=${MSEG_BPF_STRIP:-llvm-strip-$llvm}

die() { echo "ebpf/build.sh: $*" >&2; exit 1; }

install_toolchain() {
  if ! dpkg -s rustc-web cargo-web rust-web-src "llvm-$llvm-dev" gcc zlib1g-dev libzstd-dev >/dev/null 2>&1; then
    apt-get update -q
    apt-get install -qy --no-install-recommends \
      rustc-web cargo-web rust-web-src "llvm-$llvm-dev" gcc zlib1g-dev libzstd-dev
  fi
  if ! bpf-linker --version 2>/dev/null | grep -qF " $linker_version"; then
    LLVM_PREFIX=/usr/lib/llvm-$llvm cargo install bpf-linker --version "$linker_version" --locked \
      --no-default-features --features "llvm-$llvm"
  fi
}

objects=(mseg floor)

# The sources of an object, one hash a file, in an order of their own; then the locked versions of what is linked in.
record_sources() {
  local folders=(ebpf/src)
  [ "$1" = mseg ] || folders+=("ebpf/$1")
  echo "[sources]"
  { find "${folders[@]}" -type f -name '*.rs'; echo ebpf/Cargo.toml; echo ebpf/build.sh; } | LC_ALL=C sort |
    while read -r file; do printf '"%s" = "%s"\n' "$file" "$(sha256sum <"$file" | cut -d' ' -f1)"; done
  # The profile it is built with, from the workspace's manifest.
  printf '"profile" = "%s"\n' "$(sed -n '/^\[profile\.release/,/^$/p' Cargo.toml | sha256sum | cut -d' ' -f1)"
  echo
  echo "[dependencies]"
  awk '/^name = /{n=$3} /^version = /{v=$3} /^\[\[package\]\]|^$/{n="";v=""}
       n ~ /^"(aya-ebpf|aya-ebpf-bindings|aya-ebpf-cty|aya-ebpf-macros|zerocopy|zerocopy-derive)"$/ && v!="" {
         print n " = " v; n=""}' Cargo.lock
}

build() {
  local target=$root/target-bpf cargo_home=${CARGO_HOME:-$HOME/.cargo}
  command -v bpf-linker >/dev/null || die "no bpf-linker: run ebpf/build.sh --install-toolchain"
  [ -x "$rustc" ] && [ -x "$cargo" ] || die "no $rustc or $cargo: run ebpf/build.sh --install-toolchain"
  local flags=(
    # In order, LLVM copies well but clears by calls to memset, which the verifier refuses.
    -Clinker=bpf-linker -Clink-arg=--btf -Clink-arg=--disable-expand-memcpy-in-order
    -Cdebuginfo=2 -Ctarget-cpu=v3 -Ctarget-feature=+allows-misaligned-mem-access
    '--cfg=bpf_target_arch="x86_64"'
    "--remap-path-prefix=$root=mseg" "--remap-path-prefix=$cargo_home=cargo"
  )
  # Settings of the caller's own (RUSTFLAGS, a wrapper, CI's incremental switch) must not reach the object.
  local object binary feature
  for object in "${objects[@]}"; do
    case $object in mseg) binary=mseg-ebpf feature=program ;; *) binary=mseg-$object feature=$object ;; esac
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER -u RUSTUP_TOOLCHAIN \
      CARGO_ENCODED_RUSTFLAGS="$(printf '%s\x1f' "${flags[@]}" | sed 's/\x1f$//')" \
      RUSTC="$rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0 \
      "$cargo" build --quiet --locked --release --target bpfel-unknown-none -Zbuild-std=core \
      -p mseg-ebpf --bin "$binary" --features "$feature"
    "$strip" -g -o "$target/$object.o" "$target/bpfel-unknown-none/release/$binary"
  done
}

# The record of an object, whose file is the second argument.
record() {
  echo "# Written by ebpf/build.sh: what $1.o was built from and with. Do not edit."
  echo "object = \"$(sha256sum <"$2" | cut -d' ' -f1)\""
  echo
  echo "[toolchain]"
  echo "rustc = \"$("$rustc" --version)\""
  echo "bpf-linker = \"$(bpf-linker --version | head -n 1)\""
  echo "strip = \"$("$strip" --version | grep -o 'LLVM version.*' | head -n 1)\""
  echo
  record_sources "$1"
}

case ${1:-} in
  --record)
    case ${2:-} in mseg | floor) record_sources "$2" ;; *) die "--record mseg or --record floor" ;; esac ;;
  --install-toolchain) install_toolchain ;;
  --check)
    build
    for object in "${objects[@]}"; do
      record "$object" "target-bpf/$object.o" | diff -u "ebpf/prebuilt/$object.toml" - ||
        die "the record of $object.o differs: run ebpf/build.sh"
      cmp "target-bpf/$object.o" "ebpf/prebuilt/$object.o" || die "$object.o differs: run ebpf/build.sh"
      echo "ebpf/prebuilt/$object.o is what the sources build"
    done ;;
  "")
    build
    mkdir -p ebpf/prebuilt
    for object in "${objects[@]}"; do
      cp "target-bpf/$object.o" "ebpf/prebuilt/$object.o"
      record "$object" "ebpf/prebuilt/$object.o" >"ebpf/prebuilt/$object.toml"
      echo "ebpf/prebuilt/$object.o: $(stat -c %s "ebpf/prebuilt/$object.o") bytes"
    done ;;
  *) die "unknown argument $1; see the head of this file" ;;
esac
