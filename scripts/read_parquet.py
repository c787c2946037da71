"""Reads a Parquet table of Corelane by a library that is not ours (Arrow's) and compares every value
with the same entries as CSV. scripts/test runs it.

    read_parquet.py TABLE.csv TABLE.parquet
"""

import csv
import decimal
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def texts(column: pa.ChunkedArray) -> list[str]:
    """The values of a column as the CSV has them."""
    if pa.types.is_timestamp(column.type):
        assert column.type == pa.timestamp("ns", tz="UTC"), column.type
        column = column.cast(pa.int64())
    return ["" if value is None else text(value) for value in column.to_pylist()]


def text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    return str(value)


def main(csv_path: str, parquet_path: str) -> None:
    with open(csv_path, newline="") as file:
        header, *rows = csv.reader(file)
    table = pq.read_table(parquet_path)
    assert table.column_names == header, (table.column_names, header)
    assert table.num_rows == len(rows) > 100, (table.num_rows, len(rows))
    for at, name in enumerate(header):
        column = table.column(name)
        wanted = [row[at] for row in rows]
        if pa.types.is_floating(column.type):
            found = column.to_pylist()
            wanted = [None if value == "" else float(value) for value in wanted]
        else:
            found = texts(column)
        different = [pair for pair in zip(found, wanted) if pair[0] != pair[1]]
        assert not different, (name, different[:3])
    print(f"{parquet_path}: {table.num_rows} rows of {len(header)} columns are those of the CSV")


main(*sys.argv[1:])
