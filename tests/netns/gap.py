#!/usr/bin/env python3
"""How long a path carries nothing: a numbered datagram each millisecond, and the longest time between two that came.

gap.py send ADDRESS SECONDS    sends
gap.py receive                 until nothing came for a second; prints "LOST of SENT lost, at most N in a row, M ms apart"

M is the time between the sending of the two datagrams that came before and after the longest row of lost ones.
"""

import socket
import struct
import sys
import time

PORT = 9100
NUMBER = struct.Struct("!Qd")


def send(address, seconds):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect((address, PORT))
    begun = time.monotonic()
    for number in range(int(seconds * 1000)):
        wait = begun + number / 1000 - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        try:
            one.send(NUMBER.pack(number, time.monotonic()))
        except OSError:
            pass  # the device's queue is full, or nobody listens yet


def receive():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    one.bind(("", PORT))
    one.settimeout(10)  # for the first one
    got = {}
    try:
        while True:
            number, sent = NUMBER.unpack(one.recv(64))
            got[number] = sent
            one.settimeout(1)
    except TimeoutError:
        pass
    numbers = sorted(got)
    rows = [(after - before - 1, got[after] - got[before]) for before, after in zip(numbers, numbers[1:])]
    most, apart = max(rows, default=(0, 0))
    lost = sum(row for row, _ in rows)
    print(f"{lost} of {lost + len(got)} lost, at most {most} in a row, {1000 * apart:.1f} ms apart")


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], float(sys.argv[3]))
    else:
        receive()
