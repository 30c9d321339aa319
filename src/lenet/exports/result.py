"""What an export gives back."""

from dataclasses import dataclass
from pathlib import Path

from lenet.exports.network import Exported
from lenet.exports.onnx import Input
from lenet.exports.proof import Proof


@dataclass(frozen=True, eq=False)
class Export:
    """A written file.

    network: what it contains; run: the run's folder; takes: "any" image size, or the "network"'s
    use: what the file takes and gives, in a line
    proof: the comparison with the network; None if the file could not be run here, for the reason `unproven`
    """

    file: Path
    bytes: int
    network: Exported
    run: Path
    takes: Input
    use: str
    proof: Proof | None
    unproven: str = ""
