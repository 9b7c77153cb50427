# Keeps one server for a test process: in a private folder, and no longer than that process lives.
#
# Its standard input is a pipe from the test process. Each line is a command: `start`, answered with the server's process
# id, or `stop SIGNAL`, answered when the server has ended; of a PostgreSQL with an archive also `back-up` and, while it is
# stopped, `restore POINT`, answered when that is done. The end of the input means that the test process is gone, in whatever
# way: the server is stopped and its folder removed.
#
#   $1      postgres, redis or nats
#   $2      the port on 127.0.0.1
#   $3      the password; anyone on this machine can connect to a port
#   $4      postgres: the folder of its programs; redis: how many databases; nats: how many accounts
#   $5      postgres: `archive` when its log is to be archived, so that backups of it can be made
set -u
kind=$1 port=$2 password=$3 extra=$4 archive=$5

dir=$(mktemp -d "${TMPDIR:-/tmp}/convene-$kind-XXXXXX") || exit 1
cd "$dir" || exit 1
trap 'cd /; rm -rf "$dir"' EXIT
pid=

prepare() {
    case $kind in
    postgres)
        printf '%s' "$password" >password
        "$extra/initdb" --pgdata=data --username=postgres --pwfile=password --auth=password \
            --encoding=UTF8 --locale=C --no-sync >log 2>&1 && mkdir archive
        ;;
    redis) ;;
    nats)
        {
            echo "host: 127.0.0.1"
            echo "accounts {"
            i=0
            while [ "$i" -lt "$extra" ]; do
                i=$((i + 1))
                echo "  u$i { users = [ { user: u$i, password: \"$password\" } ] }"
            done
            echo "}"
        } >nats.conf
        ;;
    esac
}

run() {
    case $kind in
    # The data lives as long as the test: it is never synced to the disk.
    postgres)
        case $archive in
        archive)
            # Nobody is let in before it is restored.
            set -- -c wal_level=replica -c archive_mode=on -c archive_command='cp %p ../archive/%f' -c hot_standby=off
            ;;
        *) set -- -c wal_level=minimal -c max_wal_senders=0 ;;
        esac
        exec "$extra/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c fsync=off -c full_page_writes=off "$@" \
            -c max_connections=400 -c max_locks_per_transaction=256 -c jit=off
        ;;
    redis)
        exec redis-server --bind 127.0.0.1 --port "$port" --requirepass "$password" --databases "$extra" \
            --save '' --appendonly no --dir "$dir"
        ;;
    nats) exec nats-server --config nats.conf --port "$port" ;;
    esac
}

back_up() {
    rm -rf base
    # Debian keeps it apart from the server's programs.
    PATH="$extra:$PATH" pg_basebackup --dbname="postgres://postgres:$password@127.0.0.1:$port/" --pgdata=base \
        --wal-method=none --checkpoint=fast --no-sync
}

# Puts the base backup in the place of the data; what the log has beyond it, up to the point, is done again at the next start.
restore() {
    rm -rf data && cp -R base data && {
        echo "restore_command = 'cp ../archive/%f %p'"
        echo "recovery_target_name = '$1'"
        echo "recovery_target_action = 'promote'"
    } >>data/postgresql.auto.conf && touch data/recovery.signal
}

stop() {
    [ -n "$pid" ] || return 0
    kill -s "$1" "$pid"
    kill -s CONT "$pid"
    wait "$pid"
    pid=
} 2>>log

if ! prepare; then
    cat log
    exit 1
fi
echo "$dir"
while read -r command argument; do
    case $command in
    start)
        run >>log 2>&1 &
        pid=$!
        echo "$pid"
        ;;
    stop)
        stop "$argument"
        echo stopped
        ;;
    back-up) if back_up >>log 2>&1; then echo done; else echo failed; fi ;;
    restore) if restore "$argument" >>log 2>&1; then echo done; else echo failed; fi ;;
    esac
done
# PostgreSQL ends at once at SIGQUIT, its children too; the others have nothing to tidy up.
case $kind in
postgres) stop QUIT ;;
*) stop KILL ;;
esac
