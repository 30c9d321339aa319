#!/bin/sh
#     native/sanitize.sh [engine|python]      both parts by default
#
# engine: builds and runs the engine's C++ test with AddressSanitizer and UndefinedBehaviorSanitizer, then with
# ThreadSanitizer. python: builds the extension with AddressSanitizer and runs Python tests with it, if .venv exists.
# Needs cmake (on PATH or in .venv), make or ninja, and a C++ compiler.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:$root/.venv/bin

missing() {
  echo "sanitize: no $1; $2" >&2
  exit 1
}
command -v cmake >/dev/null || missing cmake "install it with 'apt install cmake' or 'pip install cmake'"
command -v "${CXX:-c++}" >/dev/null || missing "C++ compiler" "install one with 'apt install g++'"
command -v make >/dev/null || command -v ninja >/dev/null || missing "make or ninja" "install one with 'apt install make'"
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja

# ThreadSanitizer fails to map its shadow memory under strong address space randomisation.
fixed=
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi

# Kept, so that the second part links the objects of the first and a later call compiles what changed.
build=$root/build/sanitizers
mkdir -p "$build"
quietly() {
  "$@" >"$build/log" 2>&1 || {
    cat "$build/log"
    exit 1
  }
}

# AVX-512's larger tiles take minutes to compile with sanitizers.
level=baseline
if [ "$(uname -m)" = x86_64 ]; then
  level=x86-64-v2
  if grep -q avx2 /proc/cpuinfo 2>/dev/null; then level=x86-64-v3; fi
fi

# compile SANITIZERS [CMAKE OPTIONS]
compile() {
  sanitizers=$1
  shift
  echo "sanitizers: $sanitizers"
  quietly cmake -S "$root" -B "$build/$sanitizers" -DLENET_SANITIZE="$sanitizers" -DLEVELS=$level "$@"
  quietly cmake --build "$build/$sanitizers" --parallel "$(getconf _NPROCESSORS_ONLN)"
}

check_engine() {
  compile address,undefined -DLENET_TEST=ON -DLENET_PYTHON=OFF
  UBSAN_OPTIONS=print_stacktrace=1 $fixed "$build/address,undefined/engine_test"
  compile thread -DLENET_TEST=ON -DLENET_PYTHON=OFF
  TSAN_OPTIONS=halt_on_error=1 $fixed "$build/thread/engine_test" threads
}

check_python() {
  python=$root/.venv/bin/python
  runtime=$("${CXX:-c++}" -print-file-name=libasan.so)
  if [ ! -x "$python" ] || ! "$python" -c "import nanobind, torch" 2>/dev/null || [ ! -f "$runtime" ]; then
    echo "sanitize: skipped the Python binding; it needs 'make install' and the compiler's libasan.so"
    return
  fi
  compile address,undefined -DLENET_TEST=OFF -DLENET_PYTHON=ON -DPython_EXECUTABLE="$python" \
    -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)"
  # Leak detection is off because PyTorch and Python do not free everything at exit.
  cd "$root"
  # libstdc++ before Python: AddressSanitizer must find its throw, and the extensions of other libraries throw.
  preload="$runtime $("${CXX:-c++}" -print-file-name=libstdc++.so)"
  LENET_NATIVE_DIR="$build/address,undefined" LENET_ISA=$level LENET_REQUIRE_NATIVE=1 ASAN_OPTIONS=detect_leaks=0 \
    LD_PRELOAD="$preload" "$python" -m pytest -q -p no:cacheprovider tests/engine/test_native_checks.py \
    "tests/engine/test_native_layers.py::test_any_order_of_layers" "tests/engine/test_native.py::test_frozen_layers" \
    "tests/engine/test_native.py::test_class_weights_of_random_batches" \
    "tests/engine/test_augmentation.py::test_any_number_of_channels_and_size_on_two_threads" \
    "tests/engine/test_augmentation.py::test_warps_to_very_far_away_read_inside_of_the_image"
}

case "${1:-both}" in
  engine) check_engine ;;
  python) check_python ;;
  both)
    check_engine
    check_python
    ;;
  *)
    echo "sanitize: no part '$1' (parts: engine, python)" >&2
    exit 2
    ;;
esac
