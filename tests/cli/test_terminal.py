"""The command line on terminals: their width, NO_COLOR, encodings, hostile names, Ctrl-C."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest
from PIL import Image

from lenet.cli import main

ESCAPE = "\x1b"


@pytest.fixture(autouse=True)
def _terminal_with_colours(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")


@contextmanager
def standard_streams(opened, encoding="utf-8"):
    """This descriptor as standard input, output and error of this process, as a new process would have it."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as streams:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            kept = os.dup(number)
            streams.callback(os.close, kept)
            streams.callback(os.dup2, kept, number)
            os.dup2(opened, number)
            errors = "backslashreplace" if name == "stderr" else "strict"
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
            streams.callback(stream.close)
            patch.setattr(sys, name, stream)
        yield


def on_a_terminal(words, columns):
    """The whole output of a command on a terminal of its own, and its exit code."""
    said = []

    def read():
        with suppress(OSError):  # the other end is closed
            while part := os.read(terminal, 65536):
                said.append(part)

    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    reader = threading.Thread(target=read)
    reader.start()
    with standard_streams(other):
        code = main(words)
    os.close(other)
    reader.join()
    os.close(terminal)
    return b"".join(said).decode(), code


def in_a_pipe(words, path, encoding):
    """Exit code and output of a command whose standard streams, both in this file, have this encoding."""
    with path.open("wb+") as file:
        with standard_streams(file.fileno(), encoding):
            code = main([str(word) for word in words])
        file.seek(0)
        return code, file.read()


def plain(said):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).replace("\r", "\n")


# ---- width and colours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "bar"), [(40, False), (80, True)])
def test_the_live_table_fits_the_terminal(columns, bar):
    said, code = on_a_terminal(["train", "digits", "--epochs", "3", "--seeds", "2"], columns)
    assert code == 0
    assert ESCAPE in said
    table = [line for line in plain(said).splitlines() if re.match(r" *epoch |seed \d \d", line)]
    assert any(line.startswith("seed 1 3/3") and "%" in line for line in table)
    assert any("━" in line for line in table) == bar
    assert max(map(len, table)) <= columns
    assert "…" not in "".join(table)
    assert "Traceback" not in said


def test_no_color_means_no_escape_sequences_and_a_line_per_epoch(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    said, code = on_a_terminal(["train", "digits", "--epochs", "2"], 80)
    assert code == 0
    assert ESCAPE not in said
    assert len(re.findall(r"^epoch [12]/2  loss .* left\r?$", said, re.MULTILINE)) == 2
    for words in (["--help"], ["recipes"], ["train", "--help"]):
        said, code = on_a_terminal(words, 80)
        assert code == 0
        assert said
        assert ESCAPE not in said


def test_a_pipe_with_force_color_gets_colours_but_no_redrawn_table(lenet, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = lenet("train", "digits", "--epochs", "1")
    assert (outcome.code, outcome.err) == (0, "")
    assert not re.search(r"\x1b\[[0-9;?]*[A-HJKlh]", outcome.out)  # of cursor movements and the like none
    assert "epoch 1/1  loss" in outcome.out
    assert "\x1b[1mcifar10-lenet\x1b[0m" in lenet("recipes").out


# ---- encodings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["train", "--help"], ["tune", "--help"], ["models"], ["recipes"], ["study"]])
def test_a_terminal_that_knows_ascii_alone_gets_ascii(words, tmp_path):
    code, said = in_a_pipe(words, tmp_path / "said", "ascii")
    assert code == 0
    assert said.isascii()
    assert said


def test_results_in_ascii(process, digits_run, tmp_path):
    results = re.compile(r"[\d.]+% \+- [\d.]+ \(n = 2\)")
    code, said = in_a_pipe(["eval", digits_run.path, "--out", tmp_path / "eval"], tmp_path / "said", "ascii")
    assert code == 0
    assert results.search(said.decode("ascii"))
    code, said = in_a_pipe(["train", "n\xf6 s\xfcch"], tmp_path / "said", "ascii")
    assert code == 2
    assert said.startswith(b"lenet: no dataset or folder 'n\\xf6 s\\xfcch'")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    running = process("train", "--resume", "--out", digits_run.path, env=environment)
    out, err = running.communicate()
    assert (running.returncode, err) == (0, "")
    assert results.search(out)


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A run whose folder and classes have names that clear the screen, and a picture with such a name."""
    import lenet

    folder = tmp_path_factory.mktemp("hostile")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    for number, name in enumerate(("cat\x1b[2J", "dog\nlenet: forged", "eel\u202e\x9b2J")):
        (folder / "data" / name).mkdir(parents=True)
        for image in range(20):
            Image.fromarray(pixels[20 * number + image]).save(folder / "data" / name / f"{image}.png")
    picture = os.fsencode(folder) + b"/\x1b]0;title\x07\xff.png"
    with open(picture, "wb") as file:  # noqa: PTH123 (a path of bytes)
        Image.fromarray(pixels[0]).save(file, format="png")
    run = lenet.train(folder / "data", epochs=1, size=16, out=folder / "run\x1b[3m")
    return run, os.fsdecode(picture)


def harmless(text):
    return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_control_characters_in_names_are_printed_escaped(lenet, hostile_run, tmp_path, monkeypatch):
    run, picture = hostile_run
    monkeypatch.setenv("COLUMNS", "200")  # a folded path would not be found below
    for words, shown in (
        (["train", "--resume", "--out", run.path], ["run\\x1b[3m"]),
        (["eval", run.path, "--out", tmp_path / "a\x1b[1m"], ["cat\\x1b[2J", "dog\\nlenet: forged", "a\\x1b[1m"]),
        (["predict", run.path, picture], ["\\x1b]0;title\\x07\\xff.png", "eel\\u202e\\x9b2J"]),
        (["compare", run.path, run.path.parent / "copy\x1b[4m"], ["copy\\x1b[4m"]),
    ):
        if words[0] == "compare":
            __import__("shutil").copytree(run.path, words[2])
        outcome = lenet(*words)
        assert outcome.code == 0, outcome
        assert harmless(outcome.out), outcome.out
        flat = outcome.out.replace("\n", "").replace(" ", "")  # names are folded in tables
        for name in shown:
            assert name.replace(" ", "") in flat, outcome.out


def test_json_escapes_control_characters_and_keeps_names(lenet, hostile_run):
    run, picture = hostile_run
    outcome = lenet("predict", run.path, picture, "--json")
    assert harmless(outcome.out)
    assert outcome.out.isascii()
    (found,) = json.loads(outcome.out)
    assert found["image"] == picture
    assert set(found["classes"]) == {"cat\x1b[2J", "dog\nlenet: forged", "eel\u202e\x9b2J"}


@pytest.mark.parametrize(
    "words",
    [
        ["train", "no\x1b[2J"],
        ["train", "no\udcff\x9b2J"],
        ["train", "digits", "--model", "\x1b[2J"],
        ["train", "digits", "--\x1b[2J"],
        ["train", "digits", "--recipe", "a\x1b[2J.toml"],
        ["\x1b[2J"],
        ["eval", "a\x1b[2J\nb"],
        ["predict", "a\x1b[2J", "b"],
        ["study", "a\x1b[2J"],
    ],
)
def test_errors_are_one_line_without_control_characters(lenet, words):
    outcome = lenet(*words)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert harmless(outcome.err)
    assert re.search(r"\\x1b|\\x9b", outcome.err)


def test_values_of_a_recipe_are_printed_escaped(lenet, tmp_path):
    (tmp_path / "recipe.toml").write_text('data = "no\\u001b[2J"\nmodel = "\\u009b2J"\n')
    outcome = lenet("train", "--recipe", tmp_path / "recipe.toml")
    assert outcome.code == 2
    assert harmless(outcome.err)


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------

# What happens before `main` is Python's own start, in which Ctrl-C is a traceback.
STARTED = "import sys; from lenet.cli import main; print('started', flush=True); sys.exit(main())"


@pytest.mark.parametrize(
    ("words", "number", "moments"),
    [
        (["train", "digits", "--epochs", "100000"], signal.SIGINT, (0.02, 0.1, 0.2, 0.5, 1.0, 1.5)),
        (["train", "digits", "--epochs", "100000"], signal.SIGTERM, (0.3, 2.0)),
        (["models"], signal.SIGINT, (0.02, 0.2, 0.6, 1.2)),
    ],
)
def test_ctrl_c_and_sigterm_at_any_moment_are_one_line_without_a_traceback(words, number, moments):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children would inherit that it is ignored
    try:
        for moment in moments:
            running = subprocess.Popen(
                [sys.executable, "-c", STARTED, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert running.stdout.readline() == "started\n"
            time.sleep(moment)
            running.send_signal(number)
            _, err = running.communicate()
            if running.returncode == 130:
                assert re.fullmatch(r"lenet: stopped.*\n", err), err
            else:  # it was done before, or its interpreter had ended
                assert "train" not in words
                assert running.returncode in (0, 2, -number)
                assert "Traceback" not in err
    finally:
        signal.signal(signal.SIGINT, before)


def test_only_the_default_handler_of_ctrl_c_is_replaced_while_modules_load():
    from lenet.cli import loading

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with loading():
            assert signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with loading():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
