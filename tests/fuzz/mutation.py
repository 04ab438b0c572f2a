"""Damages files as a script of bytes says: the same script does the same damage."""

from collections.abc import Callable

Files = dict[str, bytes]  # content by name
Edit = Callable[[bytes, int, bytes], bytes]  # content, place, four bytes of argument

STEP = 8  # bytes of a script for one edit: the file, the edit, two of place, four of argument
MOST = 1 << 16  # bytes that an edit may add
TOKENS = (
    *(b"", b"\0", b"\n", b"\r", b",", b'"', b"'", b"{", b"}", b"[", b"]", b":", b"- ", b"&a *a"),
    *(b"0", b"-1", b"1e999", b"-0.0", b"nan", b"inf", b"9" * 400, b"null", b"true", b"~", b"=1+1"),
    *(b"\x1b[2J", b"\xff\xfe", "\u202e\u00e9".encode(), b"../../etc/passwd", b"/dev/zero", b"."),
    *(b"[" * 20_000, b"{a: " * 5_000, b"(" * 5_000, b"x" * 5_000, b"\n" * 5_000),
)
NUMBERS = [
    n for bits in (7, 8, 15, 16, 31, 32, 63, 64) for n in (2**bits - 1, 2**bits, 2**bits + 1)
]


def mutated(files: Files, script: bytes) -> Files:
    """A copy of the files, with one edit for every whole step of the script."""
    files = dict(files)
    for start in range(0, len(script) - STEP + 1, STEP):
        which, edit, *rest = script[start : start + STEP]
        name = sorted(files)[which % len(files)]
        place = int.from_bytes(rest[:2], "little") * (len(files[name]) + 1) >> 16
        files[name] = EDITS[edit % len(EDITS)](files[name], place, bytes(rest[2:]))
    return files


def overwrite(content: bytes, place: int, argument: bytes) -> bytes:
    length = argument[0] % 3 + 1
    return content[:place] + argument[1 : 1 + length] + content[place + length :]


def flip(content: bytes, place: int, argument: bytes) -> bytes:
    flipped = bytes(byte ^ 1 << argument[0] % 8 for byte in content[place : place + 1])
    return content[:place] + flipped + content[place + 1 :]


def number(content: bytes, place: int, argument: bytes) -> bytes:
    """A number at a limit in place of one, two, four or eight bytes."""
    width, value = 1 << argument[0] % 4, NUMBERS[argument[1] % len(NUMBERS)]
    order = ("little", "big")[argument[2] % 2]
    written = (value % 256**width).to_bytes(width, order)
    place -= place % width if argument[3] % 4 else 0
    return content[:place] + written + content[place + width :]


def digits(content: bytes, place: int, argument: bytes) -> bytes:
    """Other digits in place of the next number that is written as text."""
    runs = [
        start for start in range(place, min(place + 200, len(content))) if is_digit(content, start)
    ]
    if not runs:
        return content
    start = stop = runs[0]
    while is_digit(content, stop):
        stop += 1
    value = NUMBERS[argument[1] % len(NUMBERS)] * (-1) ** argument[2]
    return content[:start] + str(value).encode() + content[stop:]


def is_digit(content: bytes, place: int) -> bool:
    return content[place : place + 1].isdigit()


def token(content: bytes, place: int, argument: bytes) -> bytes:
    """A word that means something to a parser, put in or over what is there."""
    word = TOKENS[argument[0] % len(TOKENS)]
    return content[:place] + word + content[place + argument[1] % 2 * len(word) :]


def delete(content: bytes, place: int, argument: bytes) -> bytes:
    return content[:place] + content[place + length_of(argument) :]


def repeat(content: bytes, place: int, argument: bytes) -> bytes:
    piece = content[place : place + length_of(argument)]
    return content[:place] + (piece * argument[3])[:MOST] + content[place:]


def move(content: bytes, place: int, argument: bytes) -> bytes:
    piece, there = content[place : place + length_of(argument)], argument[3] * len(content) >> 8
    return content[:there] + piece + content[there:]


def truncate(content: bytes, place: int, argument: bytes) -> bytes:
    return content[:place]


def length_of(argument: bytes) -> int:
    """One byte to some thousands, short ones as often as long ones."""
    return (argument[0] << 8 | argument[1]) >> argument[2] % 16 or 1


EDITS: list[Edit] = [overwrite, flip, number, digits, token, delete, repeat, move, truncate]
