#!/bin/sh
# Builds the static binary that the image is made of: build.sh ARCH PROFILE FOLDER, with ARCH amd64 or arm64, PROFILE a
# profile of cargo (`dist` is what is shipped), and FOLDER where mcdns and its empty state directory are put.
set -eu
arch=$1 profile=$2 folder=$3

case "$arch" in
amd64) triple=x86_64-unknown-linux-gnu ;;
arm64) triple=aarch64-unknown-linux-gnu ;;
*)
    echo "there is no image for $arch" >&2
    exit 1
    ;;
esac
if [ "$triple" != "$(rustc --version --verbose | sed -n 's/^host: //p')" ]; then
    # For another architecture: its standard library and, from Debian, its linker.
    rustup target add "$triple"
    variable=$(echo "$triple" | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${variable}_LINKER=${triple%%-*}-linux-gnu-gcc"
fi

# The C library goes into the binary too. Since 2.34, glibc looks names up without loading a part of itself.
export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
cargo build --locked --package mcdns --target "$triple" --profile "$profile"

case "$profile" in
dev) built=debug ;;
*) built=$profile ;;
esac
install -D "${CARGO_TARGET_DIR:-target}/$triple/$built/mcdns" "$folder/mcdns"
install -d -m 0700 "$folder/state"
