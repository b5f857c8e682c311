# Supervises one engine and its folder. Runs until its standard input closes: when the owner exits, in
# any way, the pipe closes, and the engine and the folder are removed.
#
# $1 is the signal that ends the engine at once. Orders are lines:
#   argument TEXT      adds an argument to the next command
#   start              runs the command; prints "started ID", and "ended CODE" when it has exited
#   signal NAME ID...  sends the signal
kill_signal=$1
shift
folder=

finish() {
    trap '' INT TERM HUP
    [ -n "$folder" ] || return
    if [ -e "$folder/running" ]; then
        kill -s "$kill_signal" "$engine"
        turn=0
        while [ -e "$folder/running" ] && [ "$turn" -lt 300 ]; do
            sleep 0.01
            turn=$((turn + 1))
        done
        [ ! -e "$folder/running" ] || kill -s KILL "$engine"
        wait "$watch"
    fi
    # After a kill, PostgreSQL leaves a small shared memory segment, named in the file's seventh line.
    if [ -e "$folder/data/postmaster.pid" ]; then
        segment=$(sed -n '7s/.* //p' "$folder/data/postmaster.pid")
        [ -z "$segment" ] || ipcrm -m "$segment"
    fi
    # A child of a killed engine may still be writing.
    for _ in 1 2 3 4 5; do
        rm -rf "$folder" && break
        sleep 0.2
    done
} >/dev/null 2>&1
trap finish EXIT
trap 'exit 0' INT TERM HUP
# Ignore SIGPIPE: after the owner's exit only the end of its orders may end this script.
trap : PIPE

# The engine's account may have no access to the caller's TMPDIR.
folder=$(mktemp -d "${TMPDIR:-/tmp}/goat-engine.XXXXXX" || mktemp -d /tmp/goat-engine.XXXXXX) || exit 1
mkfifo "$folder/id" || exit 1
echo "folder $folder"
while read -r order rest; do
    case $order in
    argument) set -- "$@" "$rest" ;;
    start)
        : >"$folder/running"
        # The engine inherits neither the pipe nor this output, so no reader waits for it by mistake.
        (
            trap : PIPE
            "$@" </dev/null >>"$folder/log" 2>&1 &
            echo "$!" >"$folder/id"
            echo "started $!"
            wait "$!"
            code=$?
            rm -f "$folder/running"
            echo "ended $code"
        ) &
        watch=$!
        read -r engine <"$folder/id"
        set --
        ;;
    signal)
        # Unquoted on purpose: several words.
        kill -s $rest 2>/dev/null
        ;;
    esac
done
