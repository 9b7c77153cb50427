# Sourced by `test`: what the files of deploy/ are for, and what knows their form (tests/it/deploy.rs). HAProxy and Prometheus
# are the system's; the rest has exact versions, in a folder of the build's own. Needs made.sh.

# need_checks says what is missing of the system, by `need`.
need_checks() {
    command -v haproxy >/dev/null || need "HAProxy 2.6 or newer (haproxy)" haproxy
    command -v prometheus >/dev/null && command -v promtool >/dev/null ||
        need "Prometheus 2.42 or newer (prometheus, promtool)" prometheus
    python3 -c 'import ensurepip, venv, tomllib' 2>/dev/null || need "Python 3.11 or newer, with venv" python3-venv
}

# make_checks FOLDER
make_checks() {
    # It also has to start: the system's Python may have been upgraded under it.
    fresh "$1" tests/deploy/requirements.txt && "$1/bin/python" -c 'import compose_spec, yaml' 2>/dev/null ||
        make_python "$1" tests/deploy/requirements.txt
}
