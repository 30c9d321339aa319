"""The arrays of a C program: as few as its values need, and no value overwritten while it is needed."""

import re

from lenet.exports.c_code import Layer
from lenet.exports.c_program import Node, Program, Value
from lenet.exports.steps import Step

ARRAYS = {"float": ("a", "b", "c", "d")}


def node(count, *branches, in_place=False):
    """A step that gives `count` values."""
    step = Step("layer 1 (Conv2d)", (count,), (count,))
    return Node(step, lambda name: Layer("", 0, "", in_place=in_place), "float", branches)


def run(*nodes, inputs=8):
    """(the arrays of each call, the program)."""
    program = Program(ARRAYS)
    program.run(nodes, program.value("float", inputs))
    return [re.findall(r"\w+", call.partition("(")[2]) for call in program.calls], program


def test_a_chain_needs_two_arrays_as_large_as_what_they_hold():
    calls, program = run(node(20), node(20, in_place=True), node(6), node(12))
    assert calls == [["a", "b"], ["b"], ["b", "a"], ["a", "b"]]
    assert program.definitions() == "static float a[8], b[20];\n"
    assert program.variables == 4 * 28


def test_a_step_that_changes_nothing_has_no_call():
    still = Node(Step("layer 1 (Flatten)", (8,), (8,)), lambda name: None, "float")
    assert run(still, node(4))[0] == [["a", "b"]]


def test_the_input_of_a_residual_block_is_kept_until_the_sum():
    calls, program = run(node(8, [node(8), node(8)], []), node(4))
    assert calls == [["a", "b"], ["b", "c"], ["c", "a", "b"], ["b", "a"]]
    assert program.variables == 4 * 3 * 8


def test_the_input_is_no_longer_needed_after_a_shortcut_with_layers():
    calls, program = run(node(8, [node(8), node(8)], [node(8)]))
    assert calls == [["a", "b"], ["b", "c"], ["a", "b"], ["c", "b", "a"]]
    assert program.variables == 4 * 3 * 8


def test_a_branch_that_begins_in_place_changes_a_copy():
    program = Program(ARRAYS)
    program.run([node(8, [node(8, in_place=True)], [])], program.value("float", 8))
    copy, change, addition = program.calls
    assert "b[i] = a[i]" in copy
    assert change == "lenet_step1(b);"
    assert addition == "lenet_step2(b, a, c);"


def test_an_input_that_is_not_the_program_s_own_is_never_overwritten():
    program = Program(ARRAYS)
    last = program.run([node(8), node(8), node(8)], Value("pixels", "uint8_t"), keep=True)
    assert [call.partition("(")[2] for call in program.calls] == ["pixels, a);", "a, b);", "b, a);"]
    assert last == Value("a", "float")
