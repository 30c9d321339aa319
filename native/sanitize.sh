#!/bin/sh
# Builds the engine's C++ test with AddressSanitizer and UndefinedBehaviorSanitizer, then with ThreadSanitizer, and runs
# each. Needs cmake (on PATH or in .venv), make or ninja, and a C++ compiler; no Python.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:$root/.venv/bin

missing() {
  echo "sanitize: no $1; $2" >&2
  exit 1
}
command -v cmake >/dev/null || missing cmake "install it by 'apt install cmake' or 'pip install cmake'"
command -v "${CXX:-c++}" >/dev/null || missing "C++ compiler" "install one by 'apt install g++'"
command -v make >/dev/null || command -v ninja >/dev/null || missing "make or ninja" "install one by 'apt install make'"
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja

# ThreadSanitizer cannot place its shadow memory where the kernel randomises addresses by many bits.
fixed=
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'exit 1' HUP INT TERM
for sanitizers in address,undefined thread; do
  echo "sanitizers: $sanitizers"
  { cmake -S "$root" -B "$build/$sanitizers" -DLENET_SANITIZE="$sanitizers" &&
    cmake --build "$build/$sanitizers" --parallel "$(getconf _NPROCESSORS_ONLN)"; } >"$build/log" 2>&1 || {
    cat "$build/log"
    exit 1
  }
  UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1 $fixed "$build/$sanitizers/engine_test"
done
