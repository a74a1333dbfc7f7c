"""Texts of users (names, notes, paths) as they may be shown: nothing in them acts on a terminal."""

from __future__ import annotations

_LINE_BREAK, _TAB = 0x0A, 0x09

#: Control characters as their pictures (``ESC`` is one character wide, as it was); the rest of what
#: acts on a terminal, or cannot be encoded, as an escape or a replacement character.
_SHOWN: dict[int, str] = (
    {code: chr(0x2400 + code) for code in range(0x20) if code not in (_LINE_BREAK, _TAB)}
    | {0x7F: "\u2421"}
    | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    # Marks that turn the direction of writing, with which a name can pass for another one.
    | dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
    # Bytes of a file's name that are not UTF-8, as Python's file system encoding keeps them.
    | {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
)


def visible(text: str) -> str:
    """Return a text in which control characters are seen instead of obeyed; line breaks stay.

    Bytes of a file's name that are not UTF-8 are shown by their codes, so that the text can be
    encoded.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)


def one_line(text: str) -> str:
    """Return a text of a file as it may be shown within a line: line breaks are seen, too."""
    return visible(text).replace("\n", "\u240a")
