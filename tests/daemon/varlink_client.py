"""The control socket through software that nobody here wrote: the public varlink client for Python.

Starts a vswitchd of its own with ports of memory in a temporary folder, then: GetInfo, every
interface text through the client's parser, calls, a typed error, streams. The client checks types
by the interface texts. Ends with 0 when all of it held. Needs no privileges.

    varlink_client.py path/to/vswitchd
"""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import varlink

CONFIG = """
[bridge.br0]

[port.vm1]
bridge = "br0"
kind = "mem"
vlan = 100

[port.vm2]
bridge = "br0"
kind = "mem"
vlan = 100
"""

BROADCAST = "ffffffffffff52540000000188b5"


def introspect(client):
    """Every interface is served and parsed; the methods that the client found, by interface."""
    with client.open("org.varlink.service") as service:
        info = service.GetInfo()
        assert info["product"] == "vswitchd", info
        found = {}
        for name in info["interfaces"]:
            text = service.GetInterfaceDescription(name)["description"]
            interface = varlink.Interface(text)
            assert interface.name == name, (interface.name, name)
            methods = [m for m, kind in interface.members.items() if type(kind).__name__ == "_Method"]
            assert methods, f"{name} has no methods"
            assert interface.get_description() == text
            found[name] = methods
        try:
            service.GetInterfaceDescription("io.vswitch.Nope")
            raise AssertionError("an unknown interface was described")
        except varlink.VarlinkError as error:
            assert error.error() == "org.varlink.service.InterfaceNotFound", error.error()
    return found


def call(client):
    """Reads and changes, with objects, lists, options and nulls."""
    with client.open("io.vswitch.Switch") as switch:
        health = switch.GetHealth()
        assert health["health"] == "ok" and health["ports"] == 2, health
        state = switch.GetState(port="vm1")["state"]
        assert state["ports"][0]["vlans"]["pvid"] == 100, state
        changed = switch.SetPort("vm1", {"vlan": 200}, expectGeneration=1)
        assert changed["generation"] == 2, changed
        change = changed["changes"][0]
        assert (change["path"], change["before"], change["after"]) == ("port.vm1.vlan", 100, 200)
        assert switch.SetPort("vm1", {"vlan": 100})["generation"] == 3
        config = switch.GetConfig(source="saved")["config"]
        assert config["port"]["vm1"]["vlan"] == 100, config
    with client.open("io.vswitch.Daemon") as daemon:
        assert daemon.GetInfo()["memoryBytes"] > 0
        assert daemon.SetLogLevel("warn") == {}


def refused(client):
    """Errors are typed, with their parameters."""
    with client.open("io.vswitch.Switch") as switch:
        try:
            switch.DelPort("vm33")
            raise AssertionError("an unknown port was removed")
        except varlink.VarlinkError as error:
            assert error.error() == "io.vswitch.Switch.NotFound", error.error()
            parameters = error.parameters()
            assert parameters["known"] == ["vm1", "vm2"], parameters
            assert "vm" in parameters["hint"], parameters
        try:
            switch.AddPort("vm3", {"kind": "mem", "bridge": "br9", "vlan": 5000})
            raise AssertionError("an impossible port was made")
        except varlink.VarlinkError as error:
            assert error.error() == "io.vswitch.Switch.InvalidConfig", error.error()
            paths = sorted(e["path"] for e in error.parameters()["errors"])
            assert paths == ["port.vm3.bridge", "port.vm3.vlan"], paths


def stream(client, address):
    """A watch begins with the state and goes on with what another connection does."""
    with client.open("io.vswitch.Switch") as switch, client.open("io.vswitch.Fdb") as fdb:
        events = switch.Watch(_more=True)
        first = next(events)
        assert [p["name"] for p in first["state"]["ports"]] == ["vm1", "vm2"], first
        addresses = fdb.Watch(port="vm1", _more=True)
        other = varlink.Client.new_with_address(address)
        with other, other.open("io.vswitch.Switch") as changer, other.open("io.vswitch.Debug") as debug:
            debug.PutFrames("vm1", [BROADCAST])
            known = next(addresses)  # The client makes the call only now.
            assert (known["op"], known["entry"]["mac"]) == ("present", "52:54:00:00:00:01"), known
            debug.PutFrames("vm2", [BROADCAST])
            moved = next(addresses)
            assert (moved["op"], moved["fromPort"], moved["entry"]["port"]) == ("moved", "vm1", "vm2"), moved
            for mtu in (1400, 1450):
                changer.SetPort("vm1", {"mtu": mtu})
            changer.SetPort("vm1", {"enabled": False})
        kinds = [next(events)["event"]["kind"] for _ in range(4)]
        assert kinds.count("config") == 3 and kinds.count("port-down") == 1, kinds
    with client.open("io.vswitch.Fdb") as fdb:
        pages = list(fdb.List(bridge="br0", _more=True))
        assert [e["port"] for page in pages for e in page["entries"]] == ["vm2"], pages


def wait_for(path, process):
    """Until somebody listens."""
    for _ in range(1000):
        assert process.poll() is None, "vswitchd has ended"
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("vswitchd does not listen")


def main(vswitchd):
    """All of it against one daemon."""
    with tempfile.TemporaryDirectory(prefix="vswitch-varlink-") as folder:
        folder = Path(folder)
        (folder / "vswitch.toml").write_text(CONFIG)
        address = folder / "sock"
        process = subprocess.Popen(
            [vswitchd, "--log-level", "warn", "--enable-mem-ports", "--config", folder / "vswitch.toml"]
            + ["--socket", address, "--state-dir", folder / "state"]
        )
        try:
            wait_for(address, process)
            with varlink.Client.new_with_address(f"unix:{address}") as client:
                methods = introspect(client)
                call(client)
                refused(client)
                stream(client, f"unix:{address}")
            process.terminate()
            assert process.wait(30) == 0, "vswitchd ended with an error"
        finally:
            process.kill()
            process.wait()
    count = sum(len(names) for names in methods.values())
    print(f"varlink client: {len(methods)} interfaces, {count} methods, calls, errors and streams agree")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
