"""The sdist has all files that are needed, and the workflow files are what CI services read."""

import re
import subprocess
import tarfile
import tomllib

import pytest

yaml = pytest.importorskip("yaml")  # comes with pre-commit


def workflows(root):
    return sorted((root / ".github/workflows").glob("*.yml"))


def test_workflows_are_well_formed(root):
    assert {path.name for path in workflows(root)} == {"test.yml", "wheels.yml"}
    for path in workflows(root):
        content = yaml.safe_load(path.read_text())
        assert content[True]  # YAML 1.1 reads the key "on" as true
        for job in content["jobs"].values():
            assert job["runs-on"]
            for step in job["steps"]:
                assert ("uses" in step) != ("run" in step), step
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))


def test_workflows_run_the_commands_of_readme_and_targets_that_exist(root):
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = set()
    for path in workflows(root):
        named |= set(re.findall(r"run: make (\w+)", path.read_text()))
    assert {"run", "test"} <= named <= targets


def test_the_sdist_has_all_files_of_the_repository(root, tmp_path):
    """Without a build: the backend lists what git tracks."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    pytest.importorskip("scikit_build_core")
    from scikit_build_core.build import build_sdist

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        name = build_sdist(str(tmp_path))
    with tarfile.open(tmp_path / name) as archive:
        packed = {member.name.split("/", 1)[-1] for member in archive.getmembers()}
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert set(tracked.splitlines()) <= packed


def test_wheels_are_built_for_every_version_of_python_that_is_supported(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    oldest = project["project"]["requires-python"].removeprefix(">=").replace(".", "")
    assert project["tool"]["cibuildwheel"]["build"][0] == f"cp{oldest}-*"
