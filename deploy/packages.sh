# Sourced by `test` and `try`: what to do about programs that are missing.
#
# On Debian and Ubuntu the system's packages are installed, in such a way that nothing runs and nothing will at the next
# boot: no service, no database cluster. Elsewhere it is said what to install.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Prints the newest folder with PostgreSQL's server programs, version 14 or newer; fails when there is none.
find_postgresql() {
    local bin version
    for bin in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV) \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        postgresql_14 "$bin" && return
    done
    local IFS=:
    for bin in $PATH; do
        postgresql_14 "$bin" && return
    done
    return 1
}

postgresql_14() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
    local version
    version=$("$1/postgres" --version 2>/dev/null | sed -nE 's/.*\(PostgreSQL\) ([0-9]+).*/\1/p')
    [ "${version:-0}" -ge 14 ] && printf '%s\n' "$1"
}

# Puts cargo in PATH, or says where it comes from.
need_cargo() {
    command -v cargo >/dev/null || PATH="${HOME:-/root}/.cargo/bin:$PATH"
    command -v cargo >/dev/null || die "Rust is missing. Install it as https://rustup.rs says:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
}

# Whether install_packages can do its work: root, or sudo that asks for no password, or that has a terminal to ask on.
can_install() {
    command -v apt-get >/dev/null || return
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || return
    sudo -n true 2>/dev/null || { : </dev/tty; } 2>/dev/null
}

# install_packages PACKAGE… with apt-get.
install_packages() {
    local -a root=()
    can_install || die "Missing, and only root can install it: apt-get install $*"
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    say "Installing: $*"
    # Variables do not reach the other side of sudo, so the steps are a script of their own.
    "${root[@]}" bash -euo pipefail -c "$APT_STEPS" apt-steps "$@" </dev/null
}

APT_STEPS='
undo=()
finish() { [ ${#undo[@]} -eq 0 ] || rm -f -- "${undo[@]}"; }
trap finish EXIT
# What asks before a service is started; where somebody has answered that for good, the answer stands.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    undo+=(/usr/sbin/policy-rc.d)
fi
# No database cluster of the system. The file is read while the package is set up, and gone afterwards.
mkdir -p /etc/postgresql-common/createcluster.d
none=/etc/postgresql-common/createcluster.d/none-for-convene.conf
printf "create_main_cluster = false\n" >"$none"
undo+=("$none")

new=()
for package in "$@"; do
    [ "$(dpkg-query --show --showformat "\${db:Status-Status}" "$package" 2>/dev/null)" = installed ] || new+=("$package")
done
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "$@"
# Nor at the next boot, where it was not here before.
if command -v systemctl >/dev/null; then
    for package in "${new[@]}"; do
        case $package in
            redis-server | nats-server | postgresql | pgbouncer | haproxy | prometheus) systemctl --quiet disable "$package.service" || true ;;
        esac
    done
fi
'
