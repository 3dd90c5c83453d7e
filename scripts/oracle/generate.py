#!/usr/bin/python3 -B
"""Writes the kernel oracle's scenarios into `tests/data/oracle`.

What it is: a developer's tool; the written JSON is committed and is what the
oracle and the switch's tests read. Guarantees: the same sources give the same
files; a scenario file that no topic describes any more is removed with its
recorded answer, and the list of our differences is left alone. It records nothing: that is `scripts/kernel-oracle --record`.
"""

import json
from pathlib import Path

import topics_change
import topics_fdb
import topics_forward
import topics_odd
import topics_random
import topics_vlan

DATA = Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "oracle"
TOPICS = (topics_forward, topics_vlan, topics_odd, topics_fdb, topics_change, topics_random)


def text_of(document):
    """JSON with one port and one step a line."""
    steps = ",\n".join("  " + json.dumps(step) for step in document["steps"])
    ports = ",\n".join(f"  {json.dumps(n)}: {json.dumps(p)}" for n, p in document["ports"].items())
    lines = ["{"]
    for key, value in document.items():
        if key == "ports":
            lines.append(f'"ports": {{\n{ports}\n}},')
        elif key == "steps":
            lines.append(f'"steps": [\n{steps}\n]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)},")
    return "\n".join([*lines, "}"]) + "\n"


def main():
    """Writes every scenario and removes those that are described no more."""
    scenarios = [scenario for topic in TOPICS for scenario in topic.scenarios()]
    names = [scenario.name for scenario in scenarios]
    assert len(set(names)) == len(names), "two scenarios share a name"
    for path in DATA.glob("*.json"):
        if path.name == "differences.json":
            continue
        if path.name.removesuffix(".json").removesuffix(".expected") not in names:
            path.unlink()
    for scenario in scenarios:
        path = DATA / f"{scenario.name}.json"
        path.write_text(text_of(scenario.document()), encoding="utf-8")
    frames = sum(step["op"] == "frame" for s in scenarios for step in s.steps)
    print(f"{len(scenarios)} scenarios, {frames} frames")


if __name__ == "__main__":
    main()
