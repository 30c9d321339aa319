"""A run whose folder is deleted while it trains ends with an error and does not recreate the folder."""

import shutil

import pytest

from lenet.training.training import Training


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_run_deleted_during_an_epoch_is_an_error(lenet, tmp_path, monkeypatch, epoch, refused):
    path, advance = tmp_path / "run", Training.advance

    def deleting(self):
        row = advance(self)
        if row.epoch == epoch:
            shutil.rmtree(path)
        return row

    monkeypatch.setattr(Training, "advance", deleting)
    refused(lenet("train", "digits", "--epochs", 3, "--out", path), f"{path}/state is gone", "deleted or moved")
    assert not path.exists()


def test_run_deleted_after_its_last_epoch_is_an_error(lenet, tmp_path, monkeypatch, refused):
    path = tmp_path / "run"
    monkeypatch.setattr("lenet.report.plots.draw_curves", lambda *_: shutil.rmtree(path))
    refused(lenet("train", "digits", "--epochs", 1, "--out", path), f"{path} is gone")
    assert not (path / "result.json").exists()
