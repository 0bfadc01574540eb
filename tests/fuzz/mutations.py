"""Seeded damage to a valid file: what a bad disk, a cut copy, another program or a careless editor does to it, and worse."""

from __future__ import annotations

import copy
import datetime
import gzip
import io
import json
import pickle
import pickletools
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Mutation = Callable[[random.Random, bytes], bytes]

COUNTS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 10**6, 10**9, 2**31 - 1, 2**31, 2**32 - 1, 2**33, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
DEEP = 30_000
TOKENS = (
    *("nan", "NaN", ".nan", "inf", "-.inf", "Infinity", "1e999", "-1", "-0", "0", "1.5", "9" * 30, "9" * 5000, "0x", "0b", "1_0"),
    *(
        "null",
        "~",
        "true",
        "yes",
        "''",
        '""',
        "[]",
        "{}",
        "[1, 2",
        "{a: ",
        "- - -",
        ": ",
        "#",
        "|",
        ">",
        "&a [*a]",
        "*a",
        "<<: 1",
    ),
    *("!!int x", "!!float x", "!!bool x", "!!timestamp x", "!!binary x", "!!python/object:os.system x", "2020-99-99", "1:99:99"),
    *(
        "é",
        "\u202e",
        "\U0001f4f7",
        "\ud83d",
        "\ufeff",
        "\0",
        "\x85",
        "\u2028",
        "\t",
        "\r",
        "../../../etc/passwd",
        "/dev/zero",
        "a" * 10**5,
    ),
    *("[" * DEEP, '{"a":' * DEEP, "- " * 2000, "[" * 900 + "]" * 900),
)


def values() -> list[Any]:
    """Values of wrong types and sizes."""
    nest: Any = []
    for _ in range(400):
        nest = [nest]
    return [
        *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
        *("", " ", "a", "0", "nan", "é\u202e\U0001f4f7", "a\0b", "a\nb", "../../x", "/dev/zero", "x" * 10**5, "\ud83d"),
        *([], {}, [None], [[]], {"a": 1}, {"": {}}, list(range(2000)), ["x"] * 2000, nest),
    ]


# bytes


def flip_bits(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[_place(rng, changed)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice((0, 1, 4, 8, len(content) - 1, rng.randrange(len(content))))]


def zero_run(rng: random.Random, content: bytes) -> bytes:
    start, length = _place(rng, content), rng.choice((1, 4, 16, 256, len(content)))
    return content[:start] + rng.choice((b"\0", b"\xff")) * min(length, len(content) - start) + content[start + length :]


def huge_count(rng: random.Random, content: bytes) -> bytes:
    """A number of 1, 2, 4 or 8 bytes, either way round, in place of what is there: a length or a count, if it hits."""
    start, width = _place(rng, content), rng.choice((1, 2, 4, 4, 8))
    number = (rng.choice(COUNTS) % 256**width).to_bytes(width, rng.choice(("little", "big")))
    return content[:start] + number + content[start + width :]


def cut_out(rng: random.Random, content: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + content[start + rng.choice((1, 2, 7, 100)) :]


def repeat(rng: random.Random, content: bytes) -> bytes:
    start, length = _place(rng, content), rng.choice((1, 8, 100, 1000))
    return content[: start + length] + content[start : start + length] * rng.choice((1, 2, 50)) + content[start + length :]


def exchange(rng: random.Random, content: bytes) -> bytes:
    """Two halves of a file the wrong way round."""
    start = rng.randrange(len(content))
    return content[start:] + content[:start]


def insert(rng: random.Random, content: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + rng.randbytes(rng.choice((1, 3, 16, 200))) + content[start:]


def other_file(rng: random.Random, content: bytes) -> bytes:
    """Something else altogether under this name."""
    beginnings = (
        b"PK\3\4",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"\x93NUMPY\1\0",
        b"PAR1",
        b"SQLite format 3\0",
        b"\x1f\x8b\x08",
    )
    return rng.choice((*beginnings, b"<html>", b"\xef\xbb\xbf", b"\xff\xfe")) + rng.choice((b"", content, rng.randbytes(300)))


def _place(rng: random.Random, content: bytes | bytearray) -> int:
    """A place in the content, in headers as often as in all the rest."""
    return rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), rng.choice((16, 64, 300))))


BYTES: list[Mutation] = [flip_bits, truncate, zero_run, huge_count, huge_count, cut_out, repeat, exchange, insert, other_file]


# text


def _lines(change: Callable[[random.Random, list[str]], list[str]]) -> Mutation:
    def mutate(rng: random.Random, content: bytes) -> bytes:
        return "".join(change(rng, content.decode().splitlines(keepends=True))).encode("utf-8", "surrogatepass")

    return mutate


def _drop_lines(rng: random.Random, lines: list[str]) -> list[str]:
    start = rng.randrange(len(lines))
    return lines[:start] + lines[start + rng.choice((1, 1, 3)) :]


def _repeat_lines(rng: random.Random, lines: list[str]) -> list[str]:
    start, length = rng.randrange(len(lines)), rng.choice((1, 1, 3))
    return lines[: start + length] + lines[start : start + length] * rng.choice((1, 100)) + lines[start + length :]


def _shuffle_lines(rng: random.Random, lines: list[str]) -> list[str]:
    return rng.sample(lines, len(lines))


def _indent_line(rng: random.Random, lines: list[str]) -> list[str]:
    place = rng.randrange(len(lines))
    return [*lines[:place], rng.choice((" ", "    ", "\t", "- ")) + lines[place], *lines[place + 1 :]]


def _replace_word(rng: random.Random, lines: list[str]) -> list[str]:
    place = rng.randrange(len(lines))
    words = lines[place].split(" ")
    words[rng.randrange(len(words))] = rng.choice(TOKENS)
    return [*lines[:place], " ".join(words), *lines[place + 1 :]]


def _add_line(rng: random.Random, lines: list[str]) -> list[str]:
    place = rng.randrange(len(lines) + 1)
    return [*lines[:place], f"{rng.choice(TOKENS)}\n", *lines[place:]]


TEXT: list[Mutation] = [
    *map(_lines, (_drop_lines, _repeat_lines, _shuffle_lines, _indent_line, _replace_word, _replace_word, _add_line)),
    *(flip_bits, truncate, insert, other_file, repeat),
]


# trees: what JSON, YAML and pickles hold


def in_tree(rng: random.Random, tree: Any) -> Any:
    """The tree with one of its nodes replaced, dropped, doubled, wrapped or exchanged for a neighbour."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return rng.choice(values())
    parent, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del parent[key]
        case 1:
            parent[key] = [parent[key]]
        case 2:
            parent[key] = {"a": parent[key]}
        case 3:
            other, there = rng.choice(places)
            parent[key] = copy.deepcopy(other[there])
        case 4 if isinstance(parent, list):
            parent.extend([parent[key]] * rng.choice((1, 50)))
        case 4:
            parent[rng.choice(("", "unknown", "é"))] = parent[key]
        case _:
            parent[key] = rng.choice(values())
    return tree


def _places(tree: Any) -> Any:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def in_json(rng: random.Random, content: bytes) -> bytes:
    return json.dumps(in_tree(rng, json.loads(content)), indent=rng.choice((None, 1))).encode()


def in_json_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    return b"\n".join([*lines[:place], in_json(rng, lines[place]).replace(b"\n", b""), *lines[place + 1 :]])


def in_yaml(rng: random.Random, content: bytes) -> bytes:
    tree = in_tree(rng, yaml.safe_load(content))
    if rng.random() < 0.1:
        tree[rng.choice(list(tree))] = rng.choice((datetime.date(2020, 1, 1), b"\xff", {1, 2}, {(1, 2): 3}, {None: 1}))
    try:
        return yaml.safe_dump(tree, allow_unicode=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except RecursionError:  # lists in lists, deeper than PyYAML writes; JSON is YAML too
        return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")


def in_pickle(rng: random.Random, content: bytes) -> bytes:
    tree = in_tree(rng, pickle.loads(content))
    if rng.random() < 0.2:
        parent, key = rng.choice(list(_places(tree)) or [([0], 0)])
        parent[key] = rng.choice((b"\xff", (1, 2), {1}, 1j, np.zeros(2), np.float64(1), pickle.loads, bytearray(b"a"), range(3)))
    return pickle.dumps(tree, protocol=rng.randrange(6))


def opcode(rng: random.Random, content: bytes) -> bytes:
    """An opcode of the pickle machine where one may stand, with a length or place of its own choice."""
    starts = [place for _, _, place in pickletools.genops(content) if place]
    count = rng.choice(COUNTS)
    codes = [
        *(code + struct.pack("<I", count % 2**32) for code in (b"r", b"j", b"X", b"T", b"B", b"\x8b")),
        *(code + struct.pack("<Q", count) for code in (b"\x8d", b"\x8e", b"\x96", b"\x95")),
        *(f"{code}{count}\n".encode() for code in "pgIL"),
        *(bytes([code]) for code in b"()]}02ealbtsuQRNd.\x81\x85\x86\x8f\x90\x91\x93\x94\x97\x98"),
        *(
            b"cos\nsystem\n",
            b"Pid\n",
            b"\x82\1",
            b"F1e999\n",
            b"Fnan\n",
            b"]" * DEEP + b"a" * (DEEP - 1),
            b"(" * DEEP,
            b"\x80\xff",
        ),
    ]
    place = rng.choice(starts)
    return content[:place] + rng.choice(codes) + content[place:]


JSON: list[Mutation] = [*[in_json] * 8, *TEXT]
JSON_LINES: list[Mutation] = [*[in_json_line] * 8, *TEXT]
YAML: list[Mutation] = [*[in_yaml] * 8, *TEXT]
PICKLE: list[Mutation] = [*[in_pickle] * 6, *[opcode] * 6, *BYTES]


# formats that guard their content by checksums, or pack it


def in_png(rng: random.Random, content: bytes) -> bytes:
    """Damage that the checksums of a PNG's chunks agree with."""
    damaged, place, whole = rng.choice(BYTES)(rng, content), 8, b""
    while place + 8 <= len(damaged):
        length = int.from_bytes(damaged[place : place + 4], "big")
        chunk = damaged[place + 4 : place + 8 + length]
        whole += damaged[place : place + 8 + length] + zlib.crc32(chunk).to_bytes(4, "big")
        place += 12 + length
    return content[:8] + whole


def zipped(mutations: list[Mutation]) -> Mutation:
    """Damage to what a .gz holds."""

    def mutate(rng: random.Random, content: bytes) -> bytes:
        return gzip.compress(rng.choice(mutations)(rng, gzip.decompress(content)), 1)

    return mutate


def tar_header(rng: random.Random, content: bytes) -> bytes:
    """A field of a tar member's header changed, its checksum made right again."""
    block = 512 * rng.choice([at for at in range(0, len(content) // 512) if content[512 * at + 257 : 512 * at + 262] == b"ustar"])
    header = bytearray(content[block : block + 512])
    start, length = rng.choice(((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (263, 2), (345, 155)))
    fields = (
        b"\xff",
        b"\x80" + b"\xff" * 10,
        b"7" * 12,
        b"-1",
        b"8",
        b" ",
        b"\0",
        b"../../x\0",
        b"/x\0",
        b"5",
        b"1",
        b"2",
        b"x",
        b"g",
        b"L",
        b"S",
    )
    field = rng.choice(fields)[:length]
    header[start : start + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:block] + bytes(header) + content[block + 512 :]


def npy_header(rng: random.Random, content: bytes) -> bytes:
    """The header of a .npy written anew, of another type or another shape."""
    kinds = (
        "'|u1'",
        "'<f4'",
        "'<f8'",
        "'|O'",
        "'<U9'",
        "'|V0'",
        "'|S0'",
        "'<M8[ns]'",
        "[('a', '<i4')]",
        "[('a', '<i4', (10000, 10000))]",
        "1",
        "''",
    )
    shapes = (
        "()",
        "(0,)",
        "(1,)",
        "(-1, 2)",
        "(40, 2)",
        f"({2**40},)",
        f"({2**62}, {2**62})",
        "(2.5,)",
        "(True, 1)",
        "('a',)",
        "40",
        "(1,)*99",
    )
    keys = ("", "", "", "'fortran_order': 1, ", "'é': 0, ", "1: 2, ", "(" * 3000, "'fortran_order': True, ")
    kind, shape = (rng.choice(("'|u1'", rng.choice(kinds))), rng.choice(shapes))
    text = f"{{{rng.choice(keys)}'descr': {kind}, 'fortran_order': {rng.choice(('False', 'True'))}, 'shape': {shape}, }}\n"
    version = rng.choice((1, 1, 1, 2, 3))
    length = struct.pack("<H" if version == 1 else "<I", len(text.encode()))
    start = 10 + int.from_bytes(content[8:10], "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + content[start:]


def in_parquet(rng: random.Random, content: bytes) -> bytes:
    """A parquet file that is sound in itself and not of its form: columns dropped, renamed, of other types, null, not Unicode."""
    table = pq.read_table(io.BytesIO(content))
    place = rng.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    notes = {key: rng.choice((b"", b"{}", b"[]", b"null", b"\xff", b"[" * DEEP)) for key in table.schema.metadata or {}}
    strange = pa.StringArray.from_buffers(
        len(column), pa.py_buffer(np.arange(len(column) + 1, dtype=np.int32)), pa.py_buffer(b"\xff" * len(column))
    )
    match rng.randrange(9):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.rename_columns([f"{each}é" if each == name else each for each in table.column_names])
        case 2:
            table = table.set_column(place, name, pa.nulls(len(column), column.type))
        case 3:
            table = table.set_column(place, name, strange)
        case 4:
            table = table.slice(0, rng.choice((0, 1)))
        case 5:
            table = pa.concat_tables([table] * 2)
        case 6:
            table = table.append_column(rng.choice(("more", name)), column)
        case 7:
            table = table.replace_schema_metadata(notes or {"made_with": "x"})
        case _:
            kinds = (
                pa.array([[1]] * len(column)),
                pa.array([1.5] * len(column)),
                pa.array([b"\xff"] * len(column)),
                pa.array(["a"] * len(column)),
            )
            table = table.set_column(place, name, rng.choice(kinds))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


PNG: list[Mutation] = [*[in_png] * 10, *BYTES]
ARCHIVE: list[Mutation] = [*[zipped(BYTES)] * 6, *[zipped([tar_header])] * 10, *BYTES]
NPY: list[Mutation] = [*[npy_header] * 10, *BYTES]
PARQUET: list[Mutation] = [*[in_parquet] * 10, *BYTES]
