#!/bin/sh
# On a machine with a GPU, PyTorch for it, and no network: installs wheels (tests/benchmarks/gpu/wheels.py) beside what
# is there, and runs the benchmark. From the root of the checkout:
#
#   sh tests/benchmarks/gpu/device.sh WHEELS keep              # takes in one folder of wheels, and ends
#   sh tests/benchmarks/gpu/device.sh WHEELS [ARGUMENTS...]    # the last folder; arguments as of python -m tests.benchmarks.gpu
#
# PYTHON is the interpreter that has PyTorch (python3), PLACE a folder for all that is made (/tmp/benchmarks-gpu). What
# is installed there in any version is left as it is. The table and the findings are in RESULTS (PLACE/out), eight files.
set -eu
PYTHON=${PYTHON:-python3}
PLACE=${PLACE:-/tmp/benchmarks-gpu}
RESULTS=${RESULTS:-$PLACE/out}
wheels=$1
shift
mkdir -p "$PLACE/wheels" "$PLACE/site" "$RESULTS"
cp "$wheels"/*.whl "$PLACE/wheels/"
[ "${1:-}" = keep ] && exit 0

# A folder on the path, as a virtual environment over another one would not see PyTorch.
"$PYTHON" - "$PLACE/wheels" > "$PLACE/wanted" <<'WANTED'
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for file in sorted(Path(sys.argv[1]).glob("*.whl")):
    name = file.name.split("-")[0]
    try:
        print(f"there already: {name} {version(name)}", file=sys.stderr)
    except PackageNotFoundError:
        print(file)
WANTED
[ -s "$PLACE/wanted" ] && xargs "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
  --find-links "$PLACE/wheels" --target "$PLACE/site" < "$PLACE/wanted"
export PYTHONPATH="$PLACE/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "$PYTHON" -m tests.benchmarks.gpu --out "$RESULTS" "$@"
