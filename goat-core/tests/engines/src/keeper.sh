# Keeps one engine and its folder. Lives as long as its standard input: when the owner ends, in
# whatever way, the pipe ends with it, and the engine and the folder go.
#
# $1 is the signal that ends the engine at once. Orders come as lines:
#   argument TEXT      one more word of the next command
#   start              runs the command; answers "started ID", and "ended CODE" when it has ended
#   signal NAME ID...  sends the signal
farewell=$1
shift
folder=

finish() {
    trap '' INT TERM HUP
    [ -n "$folder" ] || return
    if [ -e "$folder/running" ]; then
        kill -s "$farewell" "$engine"
        turn=0
        while [ -e "$folder/running" ] && [ "$turn" -lt 300 ]; do
            sleep 0.01
            turn=$((turn + 1))
        done
        [ ! -e "$folder/running" ] || kill -s KILL "$engine"
        wait "$watch"
    fi
    # After a kill, PostgreSQL leaves a small segment of shared memory; its seventh line names it.
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
# An owner that is gone reads no answers; that must not end this before the end of its orders does.
trap : PIPE

folder=$(mktemp -d "${TMPDIR:-/tmp}/goat-engine.XXXXXX") || exit 1
mkfifo "$folder/id" || exit 1
echo "folder $folder"
while read -r order rest; do
    case $order in
    argument) set -- "$@" "$rest" ;;
    start)
        : >"$folder/running"
        # The engine gets neither end of the pipe nor this output: nobody waits for it by mistake.
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
        # Without quotes: several words are wanted.
        kill -s $rest 2>/dev/null
        ;;
    esac
done
