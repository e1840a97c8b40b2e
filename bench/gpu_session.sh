#!/usr/bin/env bash
# All that needs a GPU, in one go: the device tests, then the benchmarks.
#
#   OUT=results bench/gpu_session.sh            everything
#   OUT=results bench/gpu_session.sh tests      the tests only
#   OUT=results bench/gpu_session.sh bench      the benchmarks only
#
# Wants CuPy, NVRTC and pytest; torch with CUDA as a rival and for its half of the tests. Everything is
# written under $OUT: device.txt, tests.txt, launch.csv, bench.csv, log.txt.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:?set OUT to a folder for the results}
python=${PYTHON:-python}
what=${1:-all}
mkdir -p "$out"
export PYTHONPATH="$PWD/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
status=0

step() { # step NAME COMMAND...: run, log, go on after a failure
  echo "== $1" | tee -a "$out/log.txt"
  "${@:2}" 2>&1 | tee -a "$out/log.txt"
  local code=${PIPESTATUS[0]}
  if ((code)); then
    echo "== $1 failed with $code" | tee -a "$out/log.txt"
    status=1
  fi
}

describe() {
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
  "$python" - <<'PY'
from anymax._cuda import launch, nvrtc
print("NVRTC", nvrtc.version(), "for", nvrtc.target(launch.compute_capability(0)))
import cupy
print("CuPy", cupy.__version__)
try:
    import torch
    print("torch", torch.__version__, torch.version.cuda)
except ImportError:
    print("torch is not installed")
PY
  git log -1 --format='commit %H %ci' 2>/dev/null || true
}

if ! reason=$("$python" -c 'from anymax._cuda import launch; print(launch.why_not() or "")') || [ -n "$reason" ]; then
  echo "no GPU session: ${reason:-anymax cannot be imported}" >&2
  exit 2
fi

describe 2>&1 | tee "$out/device.txt"
if [ "$what" != bench ]; then
  step tests "$python" -m pytest tests -m gpu -q -p no:cacheprovider --timeout=300 2>&1 | tee "$out/tests.txt"
fi
if [ "$what" != tests ]; then
  step "launch overhead" "$python" bench/gpu_launch.py --csv "$out/launch.csv"
  step benchmarks "$python" -m anymax bench --device cuda --csv "$out/bench.csv"
fi
exit "$status"
