# Keeps one server for a test process: in a private folder, and no longer than that process lives.
#
# Its standard input is a pipe from the test process. Each line is a command: `start`, answered with the server's process
# id, or `stop SIGNAL`, answered when the server has ended. The end of the input means that the test process is gone, in
# whatever way: the server is stopped and its folder removed.
#
#   $1      postgres, redis or nats
#   $2      the port on 127.0.0.1
#   $3      the password; anyone on this machine can connect to a port
#   $4      postgres: the folder of its programs; redis: how many databases; nats: how many accounts
set -u
kind=$1 port=$2 password=$3 extra=$4

dir=$(mktemp -d "${TMPDIR:-/tmp}/convene-$kind-XXXXXX") || exit 1
cd "$dir" || exit 1
trap 'cd /; rm -rf "$dir"' EXIT
pid=

prepare() {
    case $kind in
    postgres)
        printf '%s' "$password" >password
        "$extra/initdb" --pgdata=data --username=postgres --pwfile=password --auth=password \
            --encoding=UTF8 --locale=C --no-sync >log 2>&1
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
        exec "$extra/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 \
            -c max_connections=400 -c max_locks_per_transaction=256 -c jit=off
        ;;
    redis)
        exec redis-server --bind 127.0.0.1 --port "$port" --requirepass "$password" --databases "$extra" \
            --save '' --appendonly no --dir "$dir"
        ;;
    nats) exec nats-server --config nats.conf --port "$port" ;;
    esac
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
while read -r command signal; do
    case $command in
    start)
        run >>log 2>&1 &
        pid=$!
        echo "$pid"
        ;;
    stop)
        stop "$signal"
        echo stopped
        ;;
    esac
done
# PostgreSQL ends at once at SIGQUIT, its children too; the others have nothing to tidy up.
case $kind in
postgres) stop QUIT ;;
*) stop KILL ;;
esac
