#!/bin/sh
# Compiles the engine's C++ test for 64-bit ARM and runs it in QEMU's emulation: whether the engine is right there, not how
# fast. Needs cmake (on PATH or in .venv), make or ninja, a cross compiler and QEMU.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:$root/.venv/bin
compiler=aarch64-linux-gnu-g++
emulator=qemu-aarch64

missing() {
  echo "arm: no $1; $2" >&2
  exit 1
}
command -v cmake >/dev/null || missing cmake "install it with 'apt install cmake' or 'pip install cmake'"
command -v $compiler >/dev/null || missing $compiler "install it with 'apt install g++-aarch64-linux-gnu'"
command -v $emulator >/dev/null || missing $emulator "install it with 'apt install qemu-user'"
command -v make >/dev/null || command -v ninja >/dev/null || missing "make or ninja" "install one with 'apt install make'"
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'exit 1' HUP INT TERM
{ cmake -S "$root" -B "$build" -DLENET_TEST=ON -DLENET_PYTHON=OFF -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=$compiler &&
  cmake --build "$build" --parallel "$(getconf _NPROCESSORS_ONLN)"; } >"$build/log" 2>&1 || {
  cat "$build/log"
  exit 1
}
$emulator -L /usr/aarch64-linux-gnu "$build/engine_test"
