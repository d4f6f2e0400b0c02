#!/usr/bin/env bash
# A Docker engine of one's own, for the tests (engine.go) and the demo:
#
#   engine.sh FOLDER
#
# It makes FOLDER and takes commands on stdin, one a line. The answer to each is
# one line on stdout: "ok", or "failed: why".
#
#   start [OPTION…]   starts dockerd, with these options too; answers when it serves
#   stop SIGNAL       sends it to dockerd; answers when that has ended
#   busybox           makes the image busybox:test of the machine's busybox
#
# dockerd listens on FOLDER/docker.sock and writes FOLDER/dockerd.log. The end of
# stdin ends it all, so the engine cannot outlive who started it, however that
# ends: dockerd, containerd, shims, plugins and containers have a PID namespace
# whose first process reads stdin, so the kernel kills them with it. Their mounts
# are in a mount namespace, which goes as well; FOLDER and empty cgroups, which are
# left, are removed.
#
# The engine shares with the machine what containers need: the network (there is
# no bridge, so --network is none or host) and the files. /run/docker and
# /run/containerd are its own: dockerd looks there for a containerd and for plugins,
# and would find those of the machine. (Where there are none, two empty folders stay.)
#
# It needs root. A terminal's Ctrl-C would end it before it has removed anything:
# start it in a process group of its own.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where root's PATH came from a plain user
dir=$(realpath -m "${1:?usage: engine.sh FOLDER}")
cgroup=azureblob-engine${dir//\//-}

for name in "${!DOCKER_@}"; do unset "$name"; done # nothing of this goes to another engine
export DOCKER_HOST=unix://$dir/docker.sock DOCKER_CONFIG=$dir/config

failed() { echo "failed: $*"; }

# outside makes the namespaces, waits for their end, and removes what outlasts it.
outside() {
	local missing=() status=0 id
	for program in dockerd containerd runc docker unshare; do
		command -v "$program" >/dev/null || missing+=("$program")
	done
	if ((EUID != 0)); then
		failed "a private Docker engine needs root"
	elif ((${#missing[@]} > 0)); then
		failed "${missing[*]} not found: 'make docker' installs what is missing"
	elif ((${#dir} > 60)); then
		failed "the name of folder $dir is longer than 60 bytes, too long for the sockets in it: set TMPDIR to a shorter one"
	else
		mkdir -p "$dir"
		unshare --mount --pid --fork --kill-child bash "$0" "$dir" inside || status=$?
		local left=(-path "*/$cgroup" -o -path "*/$cgroup/*")
		for id in "$dir"/data/plugins/*; do # a plugin's is not below the engine's
			[[ ! $id =~ /([0-9a-f]{64})$ ]] || left+=(-o -name "${BASH_REMATCH[1]}")
		done
		# A cgroup may be busy for a moment yet, and those of others vanish meanwhile.
		for _ in {1..50}; do
			! find /sys/fs/cgroup -type d \( "${left[@]}" \) -delete 2>/dev/null || break
			sleep 0.1
		done
		rm -rf "$dir"
		return "$status"
	fi
	return 1
}

inside() {
	mount -t proc proc /proc
	local own
	for own in /run/docker /run/containerd; do
		mkdir -p "$own"
		mount -t tmpfs -o mode=711 tmpfs "$own"
	done
	mkdir -p "$dir/data"
	echo '{}' >"$dir/daemon.json" # or the machine's would be read
	storage=$(storage) daemon=none

	local verb arguments
	while read -r verb arguments; do
		case $verb in
		start) start $arguments ;;
		stop) stop $arguments ;;
		busybox) busybox || failed "make busybox:test, see the errors above" ;;
		*) failed "unknown command $verb" ;;
		esac
	done
}

# storage picks overlay2 where it works: not on top of another overlay.
storage() {
	local try=$dir/overlay
	mkdir -p "$try"/{lower,upper,work,merged}
	if mount -t overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" overlay "$try/merged" 2>/dev/null; then
		umount "$try/merged"
		echo overlay2
	else
		echo vfs
	fi
	rm -rf "$try"
}

# The cgroup driver is not systemd's, even where that is the default: the machine's
# systemd would take the namespace's process IDs for its own.
start() {
	rm -f "$dir/docker.pid"
	dockerd --host="$DOCKER_HOST" --config-file="$dir/daemon.json" --pidfile="$dir/docker.pid" \
		--data-root="$dir/data" --exec-root="$dir/exec" --storage-driver="$storage" \
		--exec-opt=native.cgroupdriver=cgroupfs --cgroup-parent="/$cgroup" \
		--bridge=none --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false \
		"$@" </dev/null >>"$dir/dockerd.log" 2>&1 &
	daemon=$!
	until docker version >/dev/null 2>&1; do
		kill -0 "$daemon" 2>/dev/null || { failed "dockerd ended: $(tail -n 1 "$dir/dockerd.log")"; return; }
		sleep 0.05
	done
	echo ok
}

stop() {
	kill -s "$1" "$daemon" 2>/dev/null || { failed "dockerd does not run"; return; }
	wait "$daemon" 2>/dev/null || true
	echo ok
}

# busybox makes the image's root: the program, the libraries of one that is not
# static, and a link for each of its commands.
busybox() {
	local root=$dir/busybox program libraries
	mkdir -p "$root/bin" "$root/tmp"
	program=$(type -P busybox) || { failed "busybox not found: 'make docker' installs it"; return; }
	libraries=$(ldd "$program" 2>/dev/null | grep -o '/[^ ]*') || true
	cp "$program" "$root/bin/busybox" &&
		{ [[ -z $libraries ]] || cp --parents -Lt "$root" $libraries; } &&
		chroot "$root" /bin/busybox --install -s /bin &&
		tar -C "$root" -c . | docker import - busybox:test >/dev/null &&
		rm -rf "$root" &&
		echo ok
}

"${2:-outside}"; exit # on one line: an edit of this file while it runs does no harm
