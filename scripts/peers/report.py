"""The table and the JSON of a run.

A figure is the median over the rounds with its least and greatest value. A ratio is taken within each
round, because the machine's speed drifts between rounds, and its median is printed.
"""

import json
import statistics


# Figures beside the main one that are printed as ratios too.
RELATIVE = ("p99", "procs")


class Samples:
    """What was measured: by work, stand and round."""

    def __init__(self):
        self.values = {}
        self.failures = []
        # Cores busy with other work, before each measurement.
        self.background = []

    def add(self, work, stand, round_number, figures):
        self.values.setdefault(work.name, {}).setdefault(stand.name, {})[round_number] = figures

    def fail(self, work, stand, round_number, text):
        self.failures.append(
            {"work": work.name, "stand": stand.name, "round": round_number, "text": text}
        )

    def figures(self, work, stand, name="value"):
        rounds = self.values.get(work, {}).get(stand, {})
        return {number: figures[name] for number, figures in rounds.items() if name in figures}

    def ratios(self, work, stand, base, name="value"):
        """This stand's figure over the base's, of the rounds that have both."""
        ours, theirs = self.figures(work, stand, name), self.figures(work, base, name)
        return [ours[n] / theirs[n] for n in ours if theirs.get(n, 0) > 0]


def other_work(background, busy):
    """What else the machine did, and whether that makes the figures doubtful."""
    middle, ends = spread(background, 2)
    text = f"{middle} cores ({ends}) before the measurements"
    if statistics.median(background) > busy:
        text += "; DISTURBED: read the figures with care, `cpu` least of all (its procs are better)"
    return text


def spread(values, digits):
    if not values:
        return "-", "-"
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f}", f"{low:.{digits}f}..{high:.{digits}f}"


def table(samples, works):
    """The table as text, a paragraph for each work."""
    lines = []
    for work in works:
        stands = samples.values.get(work.name)
        if not stands:
            continue
        better = "fewer is better" if work.fewer_is_better else "more is better"
        goal = f"; goal of ours {work.goal}" if work.goal else ""
        lines.append(f"{work.name}: {work.title} [{work.unit}; {better}{goal}]")
        for stand in stands:
            lines.append(row(samples, work, stand))
        lines.append("")
    return "\n".join(lines)


def row(samples, work, stand):
    values = list(samples.figures(work.name, stand).values())
    middle, ends = spread(values, work.digits)
    text = f"  {stand:<12} {middle:>9}  {ends:<19}"
    if work.base:
        ratio, ratio_ends = spread(samples.ratios(work.name, stand, work.base), 2)
        text += f" {ratio:>6} x {work.base} ({ratio_ends})"
    names = {name for figures in samples.values[work.name][stand].values() for name in figures}
    for name in sorted(names - {"value"}):
        values = list(samples.figures(work.name, stand, name).values())
        text += f"  {name} {spread(values, 2)[0]}"
        ratios = samples.ratios(work.name, stand, work.base, name) if name in RELATIVE else []
        text += f" ({statistics.median(ratios):.2f} x)" if ratios else ""
    return text


def write_json(path, header, samples, works):
    out = {"header": header, "failures": samples.failures, "works": {}}
    for work in works:
        stands = {}
        for stand, rounds in samples.values.get(work.name, {}).items():
            values = list(samples.figures(work.name, stand).values())
            ratios = samples.ratios(work.name, stand, work.base) if work.base else []
            stands[stand] = {
                "rounds": rounds,
                "median": statistics.median(values) if values else None,
                "min": min(values, default=None),
                "max": max(values, default=None),
                "ratio_to": work.base or None,
                "ratio": statistics.median(ratios) if ratios else None,
                "ratio_min": min(ratios, default=None),
                "ratio_max": max(ratios, default=None),
            }
        out["works"][work.name] = {"title": work.title, "unit": work.unit, "stands": stands}
    path.write_text(json.dumps(out, indent=1) + "\n")
