"""Damages bytes, text, pickles and archives the way files go wrong, and some ways only an attacker would.

Invariant: all choices come from the generator that is passed in: a seed and a number name an input for ever.
Does not: know what the bytes are for. Read next: readers.py.
"""

from __future__ import annotations

import json
import pickle
import random
import struct
import zlib
from typing import Any

EDGES = [0, 1, 2, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**60, 2**63 - 1, 2**63, 2**64 - 1]
NAMES = [b"os\nsystem", b"builtins\neval", b"builtins\nexec", b"posix\nsystem", b"subprocess\nPopen", b"builtins\ngetattr",
         b"torch\nload", b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_parameter", b"torch\nFloatStorage",
         b"torch\nBFloat16Storage", b"torch\nTensor", b"torch.nn.parameter\nParameter", b"collections\nOrderedDict",
         b"collections\nCounter", b"_codecs\nencode", b"builtins\nbytearray", b"builtins\nset", b"torch\nSize", b"torch\ndevice",
         b"torch._tensor\n_rebuild_from_type_v2", b"numpy.core.multiarray\n_reconstruct", b"numpy\nndarray", b"builtins\ncomplex"]
OPCODES = [getattr(pickle, name) for name in pickle.__all__ if isinstance(getattr(pickle, name), bytes) and len(getattr(pickle, name)) == 1]


def edge(r: random.Random) -> int:
    return r.choice(EDGES) + r.choice((-1, 0, 0, 0, 1))


def some_bytes(r: random.Random, data: bytes) -> bytes:
    """One to four small damages: bits, bytes, integers of all widths, runs cut out, doubled, filled or moved, ends cut off."""
    out = bytearray(data)
    for _ in range(r.choice((1, 1, 1, 2, 3, 4))):
        kind, at = r.randrange(9), r.randrange(len(out) + 1)
        length = min(r.choice((1, 2, 4, 8, 16, 64, 512)), len(out) - at)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << r.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = r.randrange(256)
        elif kind == 2:
            width = r.choice((1, 2, 4, 8))
            out[at : at + width] = (edge(r) % 256**width).to_bytes(width, r.choice(("little", "big")))
        elif kind == 3:
            del out[at : at + length]
        elif kind == 4:
            out[at:at] = out[at : at + length]
        elif kind == 5:
            out[at : at + length] = bytes([r.choice((0, 0xFF, 0x80, 0x2E))]) * length
        elif kind == 6:
            del out[at:]
        elif kind == 7:
            out[at:at] = r.randbytes(r.randrange(1, 9))
        elif out:
            other = r.randrange(len(out))
            out[at : at + length] = out[other : other + length]
    return bytes(out)


def some_pickle(r: random.Random, data: bytes) -> bytes:
    """A pickle with opcodes, globals and pieces of itself in new places; or one made up from nothing."""
    kind = r.randrange(6)
    if kind == 0:
        return b"\x80\x02" + made_up(r) + b"."
    if kind < 3:
        at = r.randrange(len(data) + 1)
        return data[:at] + made_up(r) + data[at + r.randrange(3) :]
    if kind == 3 and b"c" in data[:-1]:
        at = data.index(b"c", r.randrange(max(1, data.rindex(b"c"))))
        ends = [data.find(b"\n", at), 0]
        ends[1] = data.find(b"\n", ends[0] + 1)
        if min(ends) > 0:
            return data[:at] + b"c" + r.choice(NAMES) + data[ends[1] :]
    return some_bytes(r, data)


def made_up(r: random.Random) -> bytes:
    """Opcodes in a row, most of them with an argument of the right form."""
    out = b""
    for _ in range(r.choice((1, 2, 5, 20))):
        kind = r.randrange(12)
        if kind < 3:
            out += r.choice(OPCODES)
        elif kind == 3:
            out += b"c" + r.choice(NAMES) + b"\n"
        elif kind == 4:
            out += b"J" + struct.pack("<i", r.choice((0, 1, 2, -1, 2**31 - 1, -(2**31))))
        elif kind == 5:
            number = edge(r)
            out += b"\x8a\x09" + number.to_bytes(9, "little", signed=True)
        elif kind == 6:
            text = r.choice((b"storage", b"cpu", b"0", b"1", b"latin1", b"__setstate__", b"__class__", b"x" * 40))
            out += b"X" + struct.pack("<I", len(text)) + text
        elif kind == 7:
            out += r.choice((b"h", b"q")) + bytes([r.randrange(16)])
        elif kind == 8:
            out += r.choice((b")", b"]", b"}", b"\x8f", b"(", b"N", b"\x88", b"\x89"))
        elif kind == 9:
            out += r.choice((b"t", b"\x85", b"\x86", b"\x87", b"R", b"\x81", b"b", b"s", b"u", b"a", b"e", b"Q"))
        elif kind == 10:
            out += r.choice((b"B", b"X", b"T", b"\x8b")) + struct.pack("<I", edge(r) % 2**32)
        else:
            out += r.choice((b"\x8d", b"\x8e", b"\x95", b"\x96")) + struct.pack("<Q", edge(r) % 2**64)
    return out


def some_archive(r: random.Random, data: tuple[bytes, list[tuple[str, bytes]]]) -> bytes:
    """A zip archive (its bytes and its entries): the bytes damaged, or an entry damaged under a right checksum, lost,
    doubled, renamed, compressed.
    """
    whole, entries = data[0], list(data[1])
    kind, at = r.randrange(12), r.randrange(len(entries))
    if kind < 3:
        return some_bytes(r, whole)
    name, content = entries[at]
    if kind < 7:
        at = next(i for i, (n, _) in enumerate(entries) if n.endswith("data.pkl"))
        entries[at] = (entries[at][0], some_pickle(r, entries[at][1]))
    elif kind == 7:
        entries[at] = (name, some_bytes(r, content))
    elif kind == 8:
        del entries[at]
    elif kind == 9:
        entries[at] = (r.choice((name + "x", "data.pkl", "x/data.pkl", "../x", "", name.upper())), content)
    elif kind == 10:
        entries.append((r.choice(entries)[0], content))
    return archive(entries, r if kind == 11 else None)


def archive(entries: list[tuple[str, bytes]], r: random.Random | None = None) -> bytes:
    """A zip archive of stored entries; with `r`, one whose headers lie about an entry: method, sizes, place, flags."""
    out, directory = bytearray(), bytearray()
    liar = r.randrange(max(1, len(entries))) if r else -1
    for i, (name, content) in enumerate(entries):
        method, size, packed, at, flags, title = 0, len(content), len(content), len(out), 0, name.encode()
        body = content
        if i == liar and r:
            kind = r.randrange(7)
            if kind == 0:
                method, body = 8, zlib.compress(content)[2:-4]
                packed = len(body)
            elif kind == 1:
                size = edge(r) % 2**32
            elif kind == 2:
                packed = edge(r) % 2**32
            elif kind == 3:
                size = packed = edge(r) % 2**32
            elif kind == 4:
                at = r.choice((edge(r) % 2**32, r.randrange(len(out) + 1)))
            elif kind == 5:
                flags = r.choice((1, 8, 0x20, 0x40, 0x800, 0xFFFF))
            else:
                method = r.choice((1, 8, 12, 14, 93, 99, 0xFFFF))
        fields = (20, flags, method, 0, 33, zlib.crc32(content), packed, size, len(title), 0)
        out += b"PK\3\4" + struct.pack("<HHHHHIIIHH", *fields) + title + body
        directory += b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, *fields, 0, 0, 0, 0, at) + title
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return bytes(out + directory + b"PK\5\6" + end)


def some_json(r: random.Random, value: Any) -> Any:
    """A value somewhere inside exchanged for an odd one, or a key lost, renamed or added."""
    if isinstance(value, dict) and value and r.randrange(5):
        key = r.choice(list(value))
        copy = dict(value)
        kind = r.randrange(8)
        if kind == 0:
            del copy[key]
        elif kind == 1:
            copy[r.choice(("x", "", "type", key + "x"))] = copy.pop(key)
        else:
            copy[key] = some_json(r, value[key])
        return copy
    if isinstance(value, list) and value and r.randrange(3):
        at = r.randrange(len(value))
        return [*value[:at], some_json(r, value[at]), *value[at + 1 :]]
    return r.choice(
        [None, True, -1, 0, 1, 2, 1.5, 1e308, float("nan"), edge(r), -edge(r), 10**30, "", "x", "F32", "F64", "BF16", "\0", "\ud800",
         "../x", "/dev/zero", [], {}, [edge(r)] * 3, [0, edge(r)], [[[]]], "a" * 300]
    )


def some_manifest(r: random.Random, data: bytes) -> bytes:
    """JSON text with its values or its bytes damaged."""
    if r.randrange(3) == 0:
        return some_bytes(r, data)
    return json.dumps(some_json(r, json.loads(data))).encode()


def some_safetensors(r: random.Random, data: bytes) -> bytes:
    """A length, a JSON header and bytes: any of the three damaged, the length right or not."""
    if r.randrange(3) == 0:
        return some_bytes(r, data)
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if r.randrange(4):
        header = some_manifest(r, header)
    else:
        body = some_bytes(r, body)
    size = len(header) if r.randrange(8) else edge(r) % 2**64
    return size.to_bytes(8, "little") + header + body


def some_text(r: random.Random, data: bytes) -> bytes:
    """Lines of text: damaged bytes, odd characters, long and empty lines, other encodings and line ends."""
    kind = r.randrange(8)
    if kind < 2:
        return some_bytes(r, data)
    text = data.decode("utf-8", "replace")
    at = r.randrange(len(text) + 1)
    odd = r.choice(("\u2028", "\x85", "\ufeff", "\0", "\x1b", "\U0001f600", "e\u0301", "\u202e", "\r\n", "\r", "\x0c", "\n\n\n", "a" * 500, " \t ", "\ufffe"))
    text = text[:at] + odd * r.choice((1, 1, 1, 5)) + text[at:]
    if kind == 2:
        return text.encode(r.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")))
    if kind == 3:
        lines = text.split("\n")
        r.shuffle(lines)
        text = "\n".join(lines[: r.choice((0, 1, 2, 3, len(lines)))])
    return text.encode("utf-8", "surrogatepass")
