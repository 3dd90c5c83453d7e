#!/usr/bin/env python3
"""Numbered datagrams of many flows, broadcast, and a receiver that notices any that overtook another.

flows.py send ADDRESS FLOWS    obeys lines on its input, answers each with a line:
    burst FLOW COUNT               sends that many at once; the answer is when they are sent
    flood FLOW,FLOW,...            sends at full speed until the next line
    pause                          sends nothing; answers how many were sent so far
flows.py receive               prints, when its input ends, frames and disorders of each flow as JSON

Numbers come from the clock and only rise, also from one command to the next. A flow is a source port.
"""

import json
import select
import socket
import struct
import sys
import time

PORT = 9000
NUMBER = struct.Struct("!Q")


def send(address, flows):
    sockets = []
    for flow in range(flows):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.bind(("", PORT + 1 + flow))
        one.connect((address, PORT))
        sockets.append(one)
    number = time.monotonic_ns()
    sent = 0

    def round_of(flooded):
        nonlocal number, sent
        for one in flooded:
            number += 1
            try:
                one.send(NUMBER.pack(number))
                sent += 1
            except (BlockingIOError, ConnectionRefusedError, OSError):
                pass  # the device's queue is full

    flooded = []
    while True:
        if flooded:
            for _ in range(64):
                round_of(flooded)
        ready, _, _ = select.select([sys.stdin], [], [], 0 if flooded else None)
        if not ready:
            continue
        words = sys.stdin.readline().split()
        if not words:
            return
        if words[0] == "burst":
            for _ in range(int(words[2])):
                round_of([sockets[int(words[1])]])
        elif words[0] == "flood":
            flooded = [sockets[int(flow)] for flow in words[1].split(",")]
        elif words[0] == "pause":
            flooded = []
        print(sent, flush=True)


def receive():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    one.bind(("", PORT))
    one.settimeout(0.05)
    flows = {}
    print("ready", flush=True)
    look = 0
    while True:
        try:
            data, (_, port) = one.recvfrom(64)
            (number,) = NUMBER.unpack(data)
            state = flows.setdefault(port - PORT - 1, [0, 0, 0])
            state[0] += 1
            if number <= state[2]:
                state[1] += 1
            state[2] = max(state[2], number)
            look += 1
            if look % 1024:
                continue
            idle = False
        except TimeoutError:
            idle = True
        # Everything that waits is taken before the end is.
        if idle and select.select([sys.stdin], [], [], 0)[0]:
            break
    print(json.dumps({str(flow): state[:2] for flow, state in flows.items()}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]))
    else:
        receive()
