"""What is printed of an export."""

from lenet.errors import counted
from lenet.exports.result import Export


def export_lines(export: Export) -> list[str]:
    """The network, what the comparison showed, and how the file is used."""
    origin = export.network.provenance
    accuracy = "" if origin.test_accuracy is None else f", test accuracy {100 * origin.test_accuracy:.1f}%"
    lines = [f"network  {origin.network} of {export.run} (seed {origin.seed}{accuracy})"]
    if export.proof is None:
        lines.append(f"note     not compared with the network: {export.unproven}")
    else:
        lines.append(f"compared {export.proof}")
        if export.proof.reason:
            lines.append(f"note     the run's test images were not found: {export.proof.reason}")
    if export.int8:
        lines += [f"float    {export.int8.float32}", f"int8     {export.int8.int8}"]
        if export.int8.much:
            lines.append(f"note     int8 loses {100 * export.int8.loss:.1f} points: consider the float file")
    return [*lines, f"file     {export.file}, {counted(export.bytes, 'byte')}", f"use      {export.use}"]
