#!/bin/sh
# Create .venv and install requirements.lock and the package into it; do nothing when that is already so.
#
#   tools/venv.sh                      picks the first of python3, python3.13, python3.12, python3.11 that will do
#   PYTHON=/path/to/python tools/venv.sh
#
# Two marker files inside .venv make interruptions harmless: `.unfinished` stands from the first step to the last, so
# that an environment found with it is thrown away; `.installed` holds the fingerprint of what was installed.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
log=$venv/install.log
wanted="Python 3.11, 3.12 or 3.13"

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# Prints "ok 3.11.7", or the reason why this interpreter will not do. A shim for a missing version prints nothing.
examine() {
    "$1" - 2>/dev/null <<'PYTHON' || true
import sys
version = "%d.%d.%d" % sys.version_info[:3]
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    print("is Python " + version)
else:
    try:
        import ensurepip, venv
        print("ok " + version)
    except ImportError:
        print("(Python %s) cannot make virtual environments: on Debian or Ubuntu, apt install python%d.%d-venv"
              % ((version,) + sys.version_info[:2]))
PYTHON
}

if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.13 python3.12 python3.11; fi
python='' version='' why=''
for candidate; do
    verdict=$(examine "$candidate")
    case $verdict in
        "ok "*) python=$candidate version=${verdict#ok }; break ;;
        # One package away from working: the best thing to tell, whatever else was found.
        "(Python"*) why="$candidate $verdict" ;;
        ?*) why=${why:-"$candidate $verdict"} ;;
    esac
done

# What was installed where: a lock that changed, a clone that was moved or another Python all ask for a new install.
fingerprint() {
    { cat requirements.lock pyproject.toml; pwd; "$1" -c 'import sys; print(sys.version)'; } | cksum
}

if [ -e "$venv/.unfinished" ]; then
    echo "Removing $venv: its installation was interrupted"
    rm -rf "$venv"
elif [ -e "$venv" ] && ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
    echo "Removing $venv: its Python no longer runs"
    rm -rf "$venv"
elif [ -e "$venv" ]; then
    [ "$(cat "$venv/.installed" 2>/dev/null)" != "$(fingerprint "$venv/bin/python")" ] || exit 0
    case $(examine "$venv/bin/python") in
        "ok "*) ;;
        *) fail "$venv holds another Python than the $wanted needed here: remove it and run again" ;;
    esac
fi

started=$(date +%s)
if [ ! -e "$venv" ]; then
    [ -n "$python" ] || fail "$wanted is needed, and ${why:-of ($*) none runs}; name one with PYTHON=/path/to/python"
    echo "Creating $venv with Python $version ($(command -v "$python"))"
    mkdir "$venv"
    : >"$venv/.unfinished"
    "$python" -m venv "$venv" >"$log" 2>&1 || {
        cat "$log" >&2
        rm -rf "$venv"
        fail "$python could not make a virtual environment in $venv (its output is above)"
    }
elif [ -e "$venv/.installed" ]; then
    # An environment that this script did not make is added to, but never marked for removal.
    mv "$venv/.installed" "$venv/.unfinished"
fi
: >"$log"

install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off "$@" >>"$log" 2>&1 || {
        cat "$log" >&2
        fail "pip could not install what this project needs (its output is above)"
    }
}

echo "Installing the $(grep -c '==' requirements.lock) packages of requirements.lock (minutes on the first run; log in $log)"
install -r requirements.lock
echo "Installing meanfield_sgd itself"
# The lock holds a setuptools that builds it, so no isolated build environment has to be downloaded.
install --no-deps --no-build-isolation -e .

# A notebook's kernel talks to its caller over the loopback and warns each time that it does so unencrypted.
mkdir -p "$venv/etc/ipython"
echo 'get_config().IPKernelApp.log_level = "ERROR"' >"$venv/etc/ipython/ipython_kernel_config.py"

fingerprint "$venv/bin/python" >"$venv/.installed"
rm -f "$venv/.unfinished"
echo "Ready: $venv ($(($(date +%s) - started)) s)"
