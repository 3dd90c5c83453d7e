"""The programs that a run uses: built with cargo, as the caller's user."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def target(profile):
    """Where cargo leaves the programs of a profile (`release` or `debug`)."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / profile


def build(who, packages, profile="release"):
    """Builds packages one after the other: alone each is built as it ships. `who` asks, for messages."""
    path = f"{os.environ['PATH']}:{Path.home() / '.cargo/bin'}"
    flags = ["--release"] if profile == "release" else []
    for package in packages:
        command = ["cargo", "build", *flags, "--quiet", *package]
        # Under sudo the toolchain is the caller's, and so should be what the build leaves behind.
        user = os.environ.get("SUDO_USER", "root")
        if user != "root":
            text = f"cd '{ROOT}' && {' '.join(command)}"
            command = ["sudo", "-u", user, "-i", "sh", "-c", text]
        told = " ".join(["cargo build", *flags, *package])
        print(f"building: {told}", file=sys.stderr, flush=True)
        if subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}).returncode:
            sys.exit(f"{who}: the build failed")
