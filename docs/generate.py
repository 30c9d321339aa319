"""Writes docs/cli.md from the texts of --help, and docs/api.md from docstrings: make docs."""

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import lenet
from lenet.cli.app import app
from lenet.config import options

DOCS = Path(__file__).resolve().parent
_ITEM = re.compile(r"(\w+(?:, \w+)*)(?: \(([^)]*)\))?: (.*)")  # "name: meaning", "name (values): meaning"
_NOTE = "<!-- Made by docs/generate.py. Run 'make docs' after a change of {}. -->\n"


def pages() -> dict[str, str]:
    """The generated files: name and content."""
    return {"cli.md": cli(), "api.md": api()}


def cli() -> str:
    """All commands and options as Markdown, by cyclopts."""
    text = app.generate_docs()
    text = re.sub(r"^lenet (\w+(?: \w+)*) \1\b", r"lenet \1", text, flags=re.MULTILINE)  # it names a command twice
    title, rest = text.split("\n", 1)
    assert title == "# lenet"
    return f"# Command line\n{_NOTE.format('help texts')}{rest.rstrip()}\n"


def api() -> str:
    """The names of lenet.__all__ as Markdown, and the types that its functions return."""
    public = {name: getattr(lenet, name) for name in lenet.__all__}
    functions = {name: one for name, one in public.items() if inspect.isfunction(one)}
    classes = {name: one for name, one in public.items() if name not in functions}
    returned = {}
    for function in functions.values():
        annotation = inspect.signature(function).return_annotation
        for one in (annotation, *get_args(annotation)):
            if inspect.isclass(one) and one.__module__.startswith("lenet."):
                returned[one.__name__] = one
    lines = ["# Python", _NOTE.format("docstrings")]
    lines += ["Functions:", "", *(f"- [`lenet.{name}`](#lenet{name.lower()})" for name in functions), ""]
    lines += ["Options are listed once, under [`lenet.train`](#lenettrain).", ""]
    everything = _options(functions["train"])
    for name, function in functions.items():
        lines += [f"## lenet.{name}", "", "```python", _signature(f"lenet.{name}", function), "```", ""]
        lines += _markdown(_described(function))
        lines += _option_lines(name, _options(function), everything)
    for heading, some in (("Classes", classes), ("Returned types", dict(sorted(returned.items())))):
        lines += [f"## {heading}", ""]
        for name, one in some.items():
            lines += [f"### {name}", ""]
            if one in classes.values():
                lines += ["```python", _signature(f"lenet.{name}", one), "```", ""]
            lines += _markdown(_described(one))
    return "\n".join(lines).rstrip() + "\n"


def _signature(name: str, function: Any) -> str:
    """Names, defaults and the type that is returned. The other types are in the text, and for editors in the code."""
    signature = inspect.signature(function)
    parts: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        if parameter.name in options() and parameter.default is None and not _own(function, parameter.name):
            continue
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        parts.append(f"{parameter.name}{default}")
    if _options(function):
        parts.append("**options")
    returned = signature.return_annotation
    inside = f"{name}({', '.join(parts)})"
    if inspect.isclass(function) or returned in (None, signature.empty):
        return inside
    without_modules = re.sub(r"[\w.]+[.](?=\w)", "", inspect.formatannotation(returned))
    return f"{inside} -> {without_modules}"


def _own(function: Any, name: str) -> bool:
    """Whether an option is an argument that the function documents itself."""
    return any(name in item[1].split(", ") for line in _described(function) if (item := _ITEM.match(line)))


def _described(one: Any) -> list[str]:
    """The lines of a docstring, without the list of options."""
    text = inspect.getdoc(one) or ""
    return text.split("\nOptions:\n", 1)[0].rstrip().splitlines()


def _options(function: Any) -> dict[str, str]:
    """Options that a docstring lists, as items of a Markdown list."""
    _, _, text = (inspect.getdoc(function) or "").partition("\nOptions:\n")
    found = {}
    for line in re.sub(r"\n {8}", " ", text).splitlines():
        item = _ITEM.fullmatch(line.strip())
        assert item, line
        found[item[1]] = f"- **{item[1]}** ({item[2]}): {item[3]}"
    return found


def _option_lines(name: str, own: dict[str, str], everything: dict[str, str]) -> list[str]:
    if not own:
        return []
    if name == "train":
        return ["Options:", "", *own.values(), ""]
    lacking = [f"`{one}`" for one in everything if one not in own]
    besides = [text for one, text in own.items() if text != everything.get(one)]
    without = f", except {', '.join(lacking)}" if lacking else ""
    if not besides:
        return [f"Options: those of [`lenet.train`](#lenettrain){without}.", ""]
    return [f"Options: those of [`lenet.train`](#lenettrain){without}. With other defaults:", "", *besides, ""]


def _markdown(lines: list[str]) -> list[str]:
    """Paragraphs as they are, and lines such as "name: meaning" as items of a list."""
    result: list[str] = []
    inside = False  # of a list
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and (inside or not result or not result[-1]):
            values = f" ({item[2]})" if item[2] else ""
            result.append(f"- **{item[1]}**{values}: {item[3]}")
            inside = True
        elif inside and line.startswith("    "):
            result.append(f"  {line.strip()}")
        else:
            inside = False
            result.append(line)
    return [*result, ""]


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
