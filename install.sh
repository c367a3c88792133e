#!/bin/sh
# Installs the command line `landfall` and what it deploys, from a release. Needs curl or wget, and tar.
set -eu

version=0.2.0
repository=https://github.example.com/landfall/landfall

usage() {
    cat <<END
Usage: install.sh [--prefix DIR] [--from URL|DIR]

Installs landfall $version: the program into DIR/bin, and the packages that
\`landfall deploy\` deploys into DIR/share/landfall.

  --prefix DIR     Where to install. Default: ~/.local
  --from URL|DIR   Where the release's files are.
                   Default: $repository/releases/download/v$version
END
}

fail() {
    echo "error: $1" >&2
    exit 1
}

prefix=${HOME:+$HOME/.local}
from=$repository/releases/download/v$version
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=${2:?--prefix needs a folder} && shift 2 ;;
        --from) from=${2:?--from needs an address or a folder} && shift 2 ;;
        --help | -h) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
done
[ -n "$prefix" ] || fail "HOME is not set: say where to install with --prefix"

machine="$(uname -s) $(uname -m)"
case $machine in
    "Linux x86_64") target=x86_64-unknown-linux-gnu ;;
    "Linux aarch64" | "Linux arm64") target=aarch64-unknown-linux-gnu ;;
    "Darwin arm64") target=aarch64-apple-darwin ;;
    *) fail "there is no landfall for this machine ($machine): build it from a checkout of $repository" ;;
esac

# Gets the file $1 of the release into the current folder.
get() {
    case $from in
        *://*)
            if command -v curl >/dev/null; then
                curl -fsSL --proto-redir =https -o "$1" "$from/$1"
            elif command -v wget >/dev/null; then
                wget -q -O "$1" "$from/$1"
            else
                fail "curl or wget is missing"
            fi
            ;;
        *) cp "$from/$1" "$1" ;;
    esac || fail "failed to get $from/$1"
}

# Compares the file $1 with the release's list of sums.
check() {
    grep "  $1\$" SHA256SUMS >wanted || fail "SHA256SUMS doesn't list $1"
    if command -v sha256sum >/dev/null; then
        sha256sum -c wanted >/dev/null
    else
        shasum -a 256 -c wanted >/dev/null
    fi || fail "$1 from $from is not the file that SHA256SUMS lists: nothing was installed"
}

# We work in another folder than the one that a relative path begins in.
case $from in
    *://* | /*) ;;
    *) from=$PWD/$from ;;
esac
mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
work=$(mktemp -d "$prefix/.landfall.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

get SHA256SUMS
for file in "landfall-$version-$target.tar.gz" "landfall-$version-packages.tar.gz"; do
    echo "getting $file" >&2
    get "$file"
    check "$file"
    tar -xzf "$file"
done
"landfall-$version/bin/landfall" --version >/dev/null ||
    fail "this landfall doesn't run on this machine: nothing was installed"

# The packages of another version are of no use to this program.
rm -rf "$prefix/share/landfall"
mkdir -p "$prefix/bin"
cp -R "landfall-$version/share" "$prefix/"
# This replaces a program even while it runs.
mv -f "landfall-$version/bin/landfall" "$prefix/bin/landfall"

echo "installed landfall $version in $prefix" >&2
case :${PATH:-}: in
    *":$prefix/bin:"*) ;;
    *) echo "add $prefix/bin to your PATH" >&2 ;;
esac
