"""Values as C source text."""

from collections.abc import Iterable
from typing import Any

import numpy as np

_WIDTH = 110


def real(value: float) -> str:
    """A float literal that reads back as the same float32."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def string(text: str) -> str:
    """A string literal in UTF-8 of any text; characters beyond ASCII as octal escapes, which cannot swallow digits."""
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'


def comment(text: str) -> str:
    """The text without what would end a comment or draw a warning in one."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    for pair in ("*/", "/*", "??"):
        while pair in plain:
            plain = plain.replace(pair, f"{pair[0]} {pair[1]}")
    return plain


def array(kind: str, name: str, values: Any) -> str:
    """The definition of a constant array."""
    flat = np.asarray(values).reshape(-1)
    words = [real(value) for value in flat] if flat.dtype.kind == "f" else [str(value) for value in flat]
    return f"static const {kind} {name}[{len(flat)}] = {{\n{_lines(words)}\n}};\n"


def _lines(words: Iterable[str]) -> str:
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line])
