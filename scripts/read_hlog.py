"""Reads latency files of Corelane by a library that is not ours (HdrHistogram's for Python) and
compares what it finds with the report of the same run. scripts/test runs it.

    read_hlog.py REPORT.json LOG.hlog HGRM_FOLDER
"""

import json
import math
import pathlib
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

PERCENTILES = {"p50_ns": 50.0, "p90_ns": 90.0, "p99_ns": 99.0, "p999_ns": 99.9, "p9999_ns": 99.99}


def read_log(path: str) -> dict[str, HdrHistogram]:
    """All intervals of each tag, added up; times must not go back."""
    stages: dict[str, HdrHistogram] = {}
    reader = HistogramLogReader(path, HdrHistogram(1, 60_000_000_000, 3))
    last = 0.0
    while (interval := reader.get_next_interval_histogram()) is not None:
        start = interval.get_start_time_stamp()
        assert start >= last, f"an interval begins at {start} after one at {last}"
        last = start
        whole = stages.setdefault(interval.get_tag(), HdrHistogram(1, 60_000_000_000, 3))
        whole.add(interval)
    return stages


def value_at(histogram: HdrHistogram, rank: int) -> int:
    """The value with this place among all values in order, from 1."""
    count = histogram.get_total_count()
    return histogram.get_value_at_percentile(100 * min(max(rank, 1), count) / count)


def read_hgrm(path: pathlib.Path) -> tuple[int, float]:
    """Number of values and the largest, in nanoseconds, from a plotter's lines."""
    lines = [line.split() for line in path.read_text().splitlines()]
    rows = [row for row in lines if row and row[0][0].isdigit()]
    percentiles = [float(row[1]) for row in rows]
    assert percentiles == sorted(percentiles) and percentiles[-1] == 1.0, path
    return int(rows[-1][2]), float(rows[-1][0]) * 1_000.0


def main() -> None:
    report, log, folder = sys.argv[1:]
    rows = {row["stage"]: row for row in json.load(open(report))["latency"]["rows"]}
    stages = read_log(log)
    assert rows and stages.keys() == rows.keys(), (sorted(stages), sorted(rows))
    for name, row in rows.items():
        histogram = stages[name]
        assert histogram.get_total_count() == row["count"], name
        for figure, percentile in PERCENTILES.items():
            # The library rounds to the nearest value, ours is the first that reaches the share.
            rank = math.ceil(percentile / 100 * row["count"])
            low, high = (value_at(histogram, rank + by) for by in (-1, 1))
            fits = low * 0.999 <= row[figure] <= high * 1.001
            assert fits, (name, figure, low, high, row)
        count, largest = read_hgrm(pathlib.Path(folder) / f"{name}.hgrm")
        assert count == row["count"], name
        assert abs(largest - row["max_ns"]) <= max(row["max_ns"] / 500, 1), (name, largest, row)
    values = sum(row["count"] for row in rows.values())
    print(f"{len(rows)} stages, {values} values: as the report says")


if __name__ == "__main__":
    main()
