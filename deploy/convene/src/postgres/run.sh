# Runs one of PostgreSQL's programs for convene. Arguments: a folder to remove at the end or nothing, then the program and
# its arguments.
#
# stdin   a pipe whose other end convene holds. It closes when convene ends, however it ends: then the server is told to
#         stop (SIGINT: at once, but in good order).
# stdout  the data folder, which becomes descriptor 9. As /proc/self/fd/9 the server reaches it also where its user may
#         not pass through the folders above it (/root).
exec 3<&0 9<&1 </dev/null 1>&2
remove=$1
shift
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill -INT "$server"; } 2>/dev/null &
reader=$!
exec 3<&-
wait "$server"
code=$?
kill "$reader" 2>/dev/null
[ -z "$remove" ] || rm -rf -- "$remove"
exit "$code"
