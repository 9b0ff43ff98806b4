#!/usr/bin/env bash
# A SLURM cluster of one node with two pretended GPUs, on a Debian or Ubuntu machine that is thrown away afterwards.
# Usage, as root: tests/slurm/one_node.sh start|stop. Installs slurm-wlm and munge if they are not there, and takes over
# /etc/slurm: it refuses where another configuration lies there.
set -euo pipefail

etc=/etc/slurm
state=/var/lib/radsynth-slurm
mark="# Written by radsynth: tests/slurm/one_node.sh"

end_daemons() {
    for daemon in slurmd slurmctld munged; do
        if [ -s "$state/$daemon.pid" ]; then
            pid=$(cat "$state/$daemon.pid")
            kill "$pid" 2> /dev/null || true
            timeout 20 tail --pid="$pid" -f /dev/null || true
        fi
        rm -f "$state/$daemon.pid"
    done
}

# Without its configuration: with that, every Snakemake waits nine seconds for the controller (scontrol show config).
stop() {
    end_daemons
    if grep -qsxF "$mark" "$etc/slurm.conf"; then
        rm -f "$etc/slurm.conf" "$etc/gres.conf"
    fi
}

start() {
    if [ "$(id -u)" != 0 ]; then
        echo "one_node.sh: expected root, who starts the daemons" >&2
        exit 1
    fi
    if [ -e "$etc/slurm.conf" ] && ! grep -qxF "$mark" "$etc/slurm.conf"; then
        echo "one_node.sh: $etc/slurm.conf belongs to another SLURM" >&2
        exit 1
    fi
    mkdir -p "$etc" "$state/spool" "$state/ctld"
    touch "$state/fakegpu0" "$state/fakegpu1"
    host=$(hostname -s)
    cat > "$etc/slurm.conf" << CONF
$mark
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
GresTypes=gpu
ReturnToService=2
MinJobAge=300
KillWait=30
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=32 RealMemory=64000 Gres=gpu:2
PartitionName=cpu Nodes=$host Default=YES MaxTime=7-0
PartitionName=gpu Nodes=$host MaxTime=7-0
CONF
    echo "Name=gpu File=$state/fakegpu[0-1]" > "$etc/gres.conf"
    if ! { command -v slurmctld && command -v slurmd && command -v munged; } > /dev/null; then
        # The packages' services are not wanted: the daemons are started here.
        export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
        apt-get install -y -qq slurm-wlm munge > "$state/install.log" 2>&1 ||
            { apt-get update -qq && apt-get install -y -qq slurm-wlm munge; } > "$state/install.log" 2>&1
    fi
    end_daemons
    if ! munge -n > /dev/null 2>&1; then
        mkdir -p /run/munge && chown munge: /run/munge "$state"
        runuser -u munge -- munged --force --pid-file "$state/munged.pid"
    fi
    slurmctld -c
    slurmd -c
    for _ in $(seq 60); do
        if [ "$(sinfo -h -p gpu -o %T 2> /dev/null)" = idle ]; then
            return
        fi
        sleep 0.5
    done
    echo "one_node.sh: the node is not idle after 30 s, see $state/*.log" >&2
    stop
    exit 1
}

case ${1-} in
    start | stop) "$1" ;;
    *) echo "usage: $0 start|stop" >&2 && exit 2 ;;
esac
