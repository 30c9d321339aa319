"""Running a compiler, or a program that computes what an exported file does."""

import subprocess

from lenet.errors import InputError


def run_program(command: list[str], seconds: int) -> subprocess.CompletedProcess[str]:
    """The ended program and its output. Raises InputError if it cannot be run or takes longer than `seconds`."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"cannot run {command[0]} ({error})") from None


def first_line(text: str, word: str) -> str:
    """The first line that contains the word, such as "error"."""
    return next((line.strip() for line in text.splitlines() if word in line), "no message")
