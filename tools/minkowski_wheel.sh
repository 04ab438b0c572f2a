#!/usr/bin/env bash
# Build MinkowskiEngine's wheel once per (torch, Python) pair and install it into an environment.
#
#   tools/minkowski_wheel.sh PYTHON
#
# PYTHON is the interpreter of an environment that has torch. The wheel is kept in
# $XDG_CACHE_HOME/sparse-volume-zoo/wheels (by default under ~/.cache) and reused.
# The newest release, 0.5.4, is a source archive only: building it takes about five minutes on two
# cores and needs g++ and OpenBLAS's headers.
set -euo pipefail

python=${1:?usage: tools/minkowski_wheel.sh PYTHON}
python=$(cd "$(dirname "$(command -v "$python")")" && pwd)/$(basename "$python")
version=0.5.4
key=$("$python" -c 'import sys, torch; print(f"torch{torch.__version__}-cp{sys.version_info[0]}{sys.version_info[1]}".replace("+", "_"))')
cache="${XDG_CACHE_HOME:-$HOME/.cache}/sparse-volume-zoo/wheels/$key"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if ! echo '#include <cblas.h>' | g++ -E -x c++ - >/dev/null 2>&1; then
    echo "minkowski_wheel: installing libopenblas-dev (OpenBLAS's headers and library)" >&2
    as_root apt-get update -qq
    as_root apt-get install -y -qq libopenblas-dev >/dev/null
fi

if ! ls "$cache"/[mM]inkowski*.whl >/dev/null 2>&1; then
    echo "minkowski_wheel: building MinkowskiEngine $version, about five minutes; kept in $cache" >&2
    mkdir -p "$cache"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$python" -m pip install -q 'setuptools<81' wheel ninja
    if ! CXX=g++ MAX_JOBS=2 BLAS=openblas PATH="$(dirname "$python"):$PATH" \
        "$python" -m pip wheel -q --no-build-isolation --no-deps --no-cache-dir \
        -w "$work" "MinkowskiEngine==$version" >"$work/build.log" 2>&1; then
        tail -n 40 "$work/build.log" >&2
        exit 1
    fi
    mv "$work"/*.whl "$cache"/
fi
"$python" -m pip install -q --no-deps "$cache"/[mM]inkowski*.whl
