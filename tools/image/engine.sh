#!/bin/sh
# Lets podman answer the docker command line where no Docker engine runs: serves Docker's interface on a socket until it is ended.
#
#   engine.sh SOCKET      then: DOCKER_HOST=unix://SOCKET docker ...
#
# Needs root. In a mount namespace of its own, because crun refuses to run where a second, empty cgroup hierarchy is mounted beside the first.
set -eu
socket=$1
configuration=$(mktemp)
trap 'rm -f "$configuration"' EXIT
# Limits that this process may hand on, and no cgroups where this machine has the old ones.
cat > "$configuration" <<END
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=30000:30000"]
$([ -e /sys/fs/cgroup/cgroup.controllers ] || echo 'cgroups = "disabled"')
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
END
CONTAINERS_CONF=$configuration
export CONTAINERS_CONF
unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null || true; exec podman system service --time 0 "unix://$1"' - "$socket"
