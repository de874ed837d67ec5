#!/bin/sh
# Write requirements.lock anew: `make lock`. Names, versions and markers only, for every platform and Python 3.11 to 3.13.
# What the resolver has to be told (torch's version, and that its CUDA packages stay out) stands in pyproject.toml.
set -eu
cd "$(dirname "$0")/.."

uv=${UV:-uv}
command -v "$uv" >/dev/null 2>&1 || {
    uv=.venv/bin/uv
    [ -x "$uv" ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
}
trap "rm -f requirements.lock.new" EXIT
arguments="pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links"
{
    echo "# Every package that the book, its tests and the library are run with. Written by \`make lock\`, that is by"
    echo "#     uv $arguments"
    # shellcheck disable=SC2086
    "$uv" $arguments --quiet "$@"
} >requirements.lock.new
mv requirements.lock.new requirements.lock
echo "Wrote requirements.lock: $(grep -c '==' requirements.lock) packages"
