#!/usr/bin/env python3
"""Many stations that only listen, and somebody who keeps sending to them.

silent.py listen DEVICE COUNT SECONDS      says one frame from each station, listens that long, then prints
                                           how many heard anything in the last second, and the longest time, in
                                           milliseconds, in which a station heard nothing
silent.py send DEVICE COUNT SECONDS PERIOD sends to each station once in PERIOD milliseconds

Stations are numbered; their addresses begin with 52:54:01.
"""

import select
import socket
import struct
import sys
import time

OURS = bytes.fromhex("525402000001")
SO_RCVBUFFORCE = 33  # Python has no name for it
KIND = 0x88B5  # for experiments (IEEE 802)


def address(number):
    return bytes.fromhex("525401") + struct.pack("!I", number)[1:]


def frame(to, source):
    return to + source + struct.pack("!H", KIND) + bytes(46)


def listen(device, count, seconds):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
    link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    link.bind((device, KIND))
    for number in range(count):
        link.send(frame(b"\xff" * 6, address(number)))
        if number % 50 == 49:
            time.sleep(0.005)
    begun = time.monotonic()
    heard, longest = {}, 0.0
    while time.monotonic() < begun + seconds:
        if not select.select([link], [], [], 0.1)[0]:
            continue
        data = link.recv(64)
        now = time.monotonic()
        number = int.from_bytes(data[3:6], "big")
        if data[:3] != b"\x52\x54\x01":
            continue
        if number in heard:
            longest = max(longest, now - heard[number])
        heard[number] = now
    lately = sum(1 for at in heard.values() if at > begun + seconds - 1)
    longest = max([longest] + [begun + seconds - at for at in heard.values()])
    print(lately, round(longest * 1000))


def send(device, count, seconds, period):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((device, 0))
    frames = [frame(address(number), OURS) for number in range(count)]
    begun = time.monotonic()
    rounds = 0
    while time.monotonic() < begun + seconds:
        for number, data in enumerate(frames):
            try:
                link.send(data)
            except OSError:
                pass  # the device's queue is full
            due = begun + (rounds + number / count) * period / 1000
            if number % 20 == 0 and (ahead := due - time.monotonic()) > 0:
                time.sleep(ahead)
        rounds += 1


if __name__ == "__main__":
    role, device, *numbers = sys.argv[1:]
    {"listen": listen, "send": send}[role](device, *map(int, numbers))
