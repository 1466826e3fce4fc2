# Sourced by scripts that need Python: sets `python`, making .venv where there is none, and installing what the caller needs:
# `requirements`, a file beside this one, requirements.txt by default.
# VITRINE_PYTHON names another interpreter that has the packages.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${VITRINE_PYTHON:-$root/.venv/bin/python}
vitrine=${VITRINE:-$root/.build/release/vitrine}
requirements=${requirements:-requirements.txt}

if [[ ! -x $vitrine ]]; then
  echo "$vitrine is missing: run 'swift build -c release' first, or set VITRINE" >&2
  exit 1
fi

# What was installed is kept beside it, so that other versions are seen.
if [[ -z ${VITRINE_PYTHON:-} ]] && ! cmp -s "$root/scripts/reference/$requirements" "$root/.venv/$requirements"; then
  echo "making $root/.venv (some gigabytes: torch, timm, transformers)" >&2
  [[ -x $python ]] || python3 -m venv "$root/.venv"
  "$python" -m pip install --quiet --requirement "$root/scripts/reference/$requirements"
  cp "$root/scripts/reference/$requirements" "$root/.venv/$requirements"
fi
