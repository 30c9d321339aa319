"""What an export gives back."""

from dataclasses import dataclass
from pathlib import Path

from lenet.exports.network import Exported
from lenet.exports.onnx import Input
from lenet.exports.proof import Proof
from lenet.exports.proof_int8 import Costs, IntegerProof


@dataclass(frozen=True, eq=False)
class Export:
    """A written file.

    network: what it contains; run: the run's folder; takes: "any" image size, or the "network"'s
    use: what the file takes and gives, in a line
    proof: the comparison with the network; None if the file could not be run here, for the reason `unproven`
    int8: the network in 8-bit integers beside that in float32, if the file has integers
    """

    file: Path
    bytes: int
    network: Exported
    run: Path
    takes: Input
    use: str
    proof: Proof | IntegerProof | None
    unproven: str = ""
    int8: Costs | None = None
