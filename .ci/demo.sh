# The stage of .ci/demo and .ci/demo-pipe, which source it: a temporary folder, jobs
# with a process group of their own, and an end that leaves nothing of both; lines in
# a terminal; Azurite. A demo that has more to take away does it in a function
# take_away. $azurite says where Azurite's program is.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tmp=$(mktemp -d)
take_away() { :; }
finish() {
	status=$?
	trap - EXIT
	trap '' INT TERM
	set +e # whatever of it is not there any more
	take_away
	for group in $(jobs -p -r); do
		kill -KILL -- "-$group" 2>/dev/null
	done
	wait 2>/dev/null
	rm -rf "$tmp"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bold='' blue='' green='' yellow='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
	bold=$'\e[1m' blue=$'\e[34m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
fi
width=100
[[ -t 1 ]] && width=$(tput cols 2>/dev/null || echo 100)

say() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
# label COLOUR NAME puts NAME before each line, and cuts lines to the terminal's width.
label() { sed "s/^\(.\{$((width - 9))\}\).*/\1/; s/^/$1$2$plain │ /"; }
size() { stat -c %s "$1"; }

# show FILE COLOUR NAME shows what was added to FILE since it was called last, lines
# that come in bursts by their last four. It reports whether there was anything.
declare -A shown
show() {
	local now new
	now=$(wc -l <"$1")
	new=$((now - ${shown[$1]:-0}))
	((new > 0)) || return
	((new <= 4)) || echo "… $((new - 4)) lines …" | label "$2" "$3"
	head -n "$now" "$1" | tail -n "$((new < 4 ? new : 4))" | label "$2" "$3"
	shown[$1]=$now
}

# show_blob does it for what "azureblob tail -f" has put into FILE, shows how large
# BLOB is after each piece, and counts the pieces: the sizes it was seen at.
grown=0
show_blob() {
	local file=$1 blob=$2
	show "$file" "$green" tail || return 0
	grown=$((grown + 1))
	{ "$azureblob" ls "$blob" 2>&1 || true; } | tail -n 1 | label "$blue" blob
}

# ended JOB WHAT waits a while for a job that has no reason to go on.
ended() {
	for ((i = 0; i < 300; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 "$1" 2>/dev/null || fail "the log is complete, and $2 did not end"
	wait "$1" || fail "$2 failed"
}

# start_azurite starts it, with an account and a key that are the same everywhere,
# and leaves where it is in $endpoint. Nothing goes to an account that the caller uses
# otherwise.
account=devstoreaccount1
key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
start_azurite() {
	local name server
	say "Azurite, Microsoft's storage emulator, starts on a free port of 127.0.0.1"
	for name in "${!AZURE@}"; do unset "$name"; done
	mkdir "$tmp/azurite"
	: >"$tmp/azurite.log" # read from here on, though Azurite may start late
	set -m                # a process group for each job
	"$azurite" --blobHost 127.0.0.1 --blobPort 0 --location "$tmp/azurite" \
		--skipApiVersionCheck --disableTelemetry --silent </dev/null >"$tmp/azurite.log" 2>&1 &
	set +m
	server=$!
	endpoint=''
	for ((i = 0; i < 600; i++)); do
		endpoint=$(sed -n 's/.*successfully listens on \(http[^ ]*\).*/\1/p' "$tmp/azurite.log")
		[[ -z $endpoint ]] || break
		kill -0 "$server" 2>/dev/null || fail "Azurite did not start: $(tail -n 3 "$tmp/azurite.log")"
		sleep 0.1
	done
	[[ -n $endpoint ]] || fail "Azurite does not listen after a minute: $(tail -n 3 "$tmp/azurite.log")"
	endpoint+=/$account
	export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=$account;AccountKey=$key;BlobEndpoint=$endpoint;"
}
