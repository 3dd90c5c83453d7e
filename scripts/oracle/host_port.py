"""The host's end of a kernel bridge, as a packet socket on the bridge device.

What it is: what the host's own stack would get from the bridge, and the way to
send as the host. Runs only inside the guest of `scripts/kernel-oracle`.

Guarantees: received frames carry their VLAN tag in band, wherever the kernel
kept it; frames that the host itself sent are not seen as received. The socket
does not make the bridge device promiscuous.
"""

import socket
import struct

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
VLAN_VALID = 1 << 4
VLAN_TPID_VALID = 1 << 6
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
ADDRESSES_LENGTH = 12


class HostPort:
    """A raw packet socket on one device."""

    def __init__(self, device):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.bind((device, ETH_P_ALL))

    def fileno(self):
        """The descriptor, for polling."""
        return self.socket.fileno()

    def send(self, frame):
        """Sends a frame, tags in band, as the host."""
        self.socket.send(frame)

    def receive(self):
        """One frame that the host gets, its outer tag put back in band."""
        frame, extras, _flags, _from = self.socket.recvmsg(65536, 256)
        for level, kind, data in extras:
            if (level, kind) != (SOL_PACKET, PACKET_AUXDATA):
                continue
            status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
            if status & VLAN_VALID:
                tpid = tpid if status & VLAN_TPID_VALID else 0x8100
                tag = struct.pack("!HH", tpid, tci)
                return frame[:ADDRESSES_LENGTH] + tag + frame[ADDRESSES_LENGTH:]
        return frame

    def close(self):
        """Closes the socket."""
        self.socket.close()
