#!/usr/bin/env bash
# Rebuilds the BPF object, ebpf/prebuilt/mseg.o, and the record of what it was built from and with, mseg.toml.
#
#   ebpf/build.sh                       build, and write both
#   ebpf/build.sh --check               build, and fail unless the committed object is byte-identical
#   ebpf/build.sh --install-toolchain   install the recorded toolchain first (Debian, as root)
#   ebpf/build.sh --record              print the record of the sources alone (what `cargo test` compares)
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

# The sources, one hash a file, in an order of their own; then the locked versions of what is linked in.
record_sources() {
  echo "[sources]"
  { find ebpf/src -type f -name '*.rs'; echo ebpf/Cargo.toml; echo ebpf/build.sh; } | LC_ALL=C sort |
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
  env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER -u RUSTUP_TOOLCHAIN \
    CARGO_ENCODED_RUSTFLAGS="$(printf '%s\x1f' "${flags[@]}" | sed 's/\x1f$//')" \
    RUSTC="$rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0 \
    "$cargo" build --quiet --locked --release --target bpfel-unknown-none -Zbuild-std=core \
    -p mseg-ebpf --bin mseg-ebpf --features program
  "$strip" -g -o "$target/mseg.o" "$target/bpfel-unknown-none/release/mseg-ebpf"
}

record() {
  echo "# Written by ebpf/build.sh: what mseg.o was built from and with. Do not edit."
  echo "object = \"$(sha256sum <"$1" | cut -d' ' -f1)\""
  echo
  echo "[toolchain]"
  echo "rustc = \"$("$rustc" --version)\""
  echo "bpf-linker = \"$(bpf-linker --version | head -n 1)\""
  echo "strip = \"$("$strip" --version | grep -o 'LLVM version.*' | head -n 1)\""
  echo
  record_sources
}

case ${1:-} in
  --record) record_sources ;;
  --install-toolchain) install_toolchain ;;
  --check)
    build
    record target-bpf/mseg.o | diff -u ebpf/prebuilt/mseg.toml - || die "the record differs: run ebpf/build.sh"
    cmp target-bpf/mseg.o ebpf/prebuilt/mseg.o || die "the object differs: run ebpf/build.sh"
    echo "ebpf/prebuilt/mseg.o is what the sources build" ;;
  "")
    build
    mkdir -p ebpf/prebuilt
    cp target-bpf/mseg.o ebpf/prebuilt/mseg.o
    record ebpf/prebuilt/mseg.o >ebpf/prebuilt/mseg.toml
    echo "ebpf/prebuilt/mseg.o: $(stat -c %s ebpf/prebuilt/mseg.o) bytes" ;;
  *) die "unknown argument $1; see the head of this file" ;;
esac
