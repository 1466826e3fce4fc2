# Sourced by scripts that need Python: sets `python`, making .venv from requirements.txt where there is none.
# VITRINE_PYTHON names another interpreter that has the packages.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${VITRINE_PYTHON:-$root/.venv/bin/python}
vitrine=${VITRINE:-$root/.build/release/vitrine}

if [[ ! -x $vitrine ]]; then
  echo "$vitrine is missing: run 'swift build -c release' first, or set VITRINE" >&2
  exit 1
fi

if [[ -z ${VITRINE_PYTHON:-} && ! -f $root/.venv/complete ]]; then
  echo "making $root/.venv (some gigabytes: torch, timm, transformers)" >&2
  python3 -m venv "$root/.venv"
  "$python" -m pip install --quiet --requirement "$root/scripts/reference/requirements.txt"
  touch "$root/.venv/complete"
fi
