#!/bin/sh
# Open MPI's rsh agent over network namespaces: `HOST COMMAND...` where HOST is an address 10.77.0.N of the namespace parscale-N.
# Each has a name of its own as a computer, by which Open MPI tells them apart.
host=$1
shift
exec ip netns exec "parscale-${host##*.}" unshare --uts sh -c "hostname worker-${host##*.} && $*"
