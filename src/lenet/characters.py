"""Characters that a terminal or a spreadsheet would act on, shown escaped."""

import unicodedata

# Unicode categories that a terminal acts on or cannot show: control characters, marks that change the direction of
# writing, lone surrogates, separators of lines and paragraphs.
_NOT_SHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # of category Cf too; some languages and emoji need them


def visible(text: str) -> str:
    r"""The text with control characters escaped, such as \x1b, and bytes of a name that are not UTF-8, such as \xff."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) not in _NOT_SHOWN:
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that Python could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
