"""The command audit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lenet.cli.flags import NO_FLAGS, Data, Overwrite, Resume, Whole, flags_of, given
from lenet.cli.interrupt import loading
from lenet.config import Config
from lenet.config.keywords import AUDIT_DEFAULTS, AUDIT_LACKS

if TYPE_CHECKING:
    Flags = Config
else:
    Flags = flags_of(__name__, (*NO_FLAGS, *AUDIT_LACKS), AUDIT_DEFAULTS)
_NONE_GIVEN = Flags()


def audit(
    data: Data = None, /, *, folds: Whole | None = None, out: Path | None = None, resume: Resume = False,
    overwrite: Overwrite = False, flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:  # fmt: skip
    """Find labels that are probably wrong, by predictions of networks that were not trained on these images.

    Parameters
    ----------
    folds
        Number of folds for cross-validation: each fold is predicted by networks trained on the others. Default: 5.
    out
        Folder for audit.csv (every image, the most suspect first), audit.png (the first of them) and labels.csv (to
        edit, for 'lenet train --labels'). Default: a new numbered folder under runs/.
    """
    with loading():
        from lenet.commands.audit import audit as run_audit

    run_audit(data, folds=folds, out=out, resume=resume, overwrite=overwrite, verbose=True, **given(flags))
