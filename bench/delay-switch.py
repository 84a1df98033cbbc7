"""An Ethernet switch in user space that holds every frame back: for kernels without tc's netem.

    python3 bench/delay-switch.py NAMESPACE=DEVICE=ADDRESS/BITS ...     # as root; needs /dev/net/tun

Makes a TAP device in each network namespace and joins them. A line on standard input is the delay of one way in seconds from then on, and is
answered by `ok`. Frames of one device keep their order. Ends with its input, and the devices with it.
"""

import fcntl
import heapq
import os
import select
import struct
import subprocess
import sys
import time

SET_INTERFACE, TAP, NO_HEADER = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
MTU = 9000


def tap(namespace, device, address):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, SET_INTERFACE, struct.pack("16sH22s", device.encode(), TAP | NO_HEADER, b""))
    for command in (
        f"ip link set {device} netns {namespace}",
        f"ip -n {namespace} addr add {address} dev {device}",
        f"ip -n {namespace} link set {device} mtu {MTU} up",
    ):
        subprocess.run(command.split(), check=True)
    return fd


def main():
    taps = [tap(*word.split("=")) for word in sys.argv[1:]]
    where = {}  # the device behind each hardware address
    delay, waiting, count = 0.0, [], 0
    print("ok", flush=True)
    while True:
        # poll() would round to milliseconds.
        wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for fd in select.select([*taps, 0], [], [], wait)[0]:
            if fd == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                delay = float(line)
                print("ok", flush=True)
                continue
            for _ in range(64):
                try:
                    frame = os.read(fd, 65536)
                except BlockingIOError:
                    break
                to, sender = frame[:6], frame[6:12]
                where[sender] = fd
                at = time.monotonic() + delay
                for other in [where[to]] if to in where else [each for each in taps if each != fd]:
                    count += 1
                    heapq.heappush(waiting, (at, count, other, frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, other, frame = heapq.heappop(waiting)
            try:
                os.write(other, frame)
            except OSError:
                pass  # as a full queue loses it


main()
