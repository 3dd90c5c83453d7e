#!/usr/bin/env python3
"""Many stations that only listen, and somebody who keeps sending to them.

silent.py listen DEVICE COUNT SECONDS      says one frame from each station, listens that long, then prints
                                           how many heard anything in the last second, and the longest time, in
                                           milliseconds, in which a station heard nothing
silent.py send DEVICE COUNT SECONDS PERIOD sends to each station once in PERIOD milliseconds
silent.py join ADDRESS SECONDS             joins a group on the interface of that address, listens that long, then
                                           prints as the first
silent.py cast ADDRESS SECONDS PERIOD      sends to the group by that interface once in PERIOD milliseconds

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


GROUP = ("239.1.2.3", 9001)


def join(ours, seconds):
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(GROUP)
    member = socket.inet_aton(GROUP[0]) + socket.inet_aton(ours)
    link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    begun = time.monotonic()
    last, longest = None, 0.0
    while time.monotonic() < begun + seconds:
        if not select.select([link], [], [], 0.1)[0]:
            continue
        link.recv(64)
        now = time.monotonic()
        longest = max(longest, now - (last or now))
        last = now
    end = begun + seconds
    print(int(last is not None and last > end - 1), round(max(longest, end - (last or begun)) * 1000))


def cast(ours, seconds, period):
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ours))
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        link.sendto(b"hello", GROUP)
        time.sleep(period / 1000)


if __name__ == "__main__":
    role, who, *numbers = sys.argv[1:]
    roles = {"listen": listen, "send": send, "join": join, "cast": cast}
    roles[role](who, *map(int, numbers))
