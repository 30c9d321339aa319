"""Generated documentation is as the code says, and links between documents lead somewhere."""

import re
import runpy

import pytest


@pytest.fixture(scope="module")
def generated(request):
    return runpy.run_path(str(request.config.rootpath / "docs" / "generate.py"))["pages"]()


@pytest.mark.parametrize("name", ["cli.md", "api.md"])
def test_generated_documentation_is_current(root, generated, name):
    committed = (root / "docs" / name).read_text(encoding="utf-8")
    assert committed == generated[name], f"docs/{name} is not what the code says: run make docs"


@pytest.mark.parametrize("name", ["cli.md", "api.md"])
def test_generated_documentation_depends_on_no_machine(root, generated, name):
    assert not re.search(r"(?<![\w~.$])/(home|root|tmp|work|usr)\b|0x[0-9a-f]{6}", generated[name])
    assert "<lenet" not in generated[name]
    assert str(root) not in generated[name]


def test_every_command_and_function_is_documented_once(generated):
    import lenet
    from lenet.cli.app import app

    headings = re.findall(r"^#+ (.*)$", generated["cli.md"], re.MULTILINE)
    assert {f"lenet {name}" for name in app if not name.startswith("-")} <= set(headings)
    assert len(headings) == len(set(headings))
    headings = re.findall(r"^#+ (.*)$", generated["api.md"], re.MULTILINE)
    assert set(lenet.__all__) <= {heading.removeprefix("lenet.") for heading in headings}
    assert len(headings) == len(set(headings))


def test_links_between_documents_lead_somewhere(root):
    for page in [*root.glob("*.md"), *root.glob("docs/*.md")]:
        text = page.read_text(encoding="utf-8")
        anchors = {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors, (page.name, target)
            elif "://" not in target:
                assert (page.parent / target.split("#")[0]).exists(), (page.name, target)


def _anchor(heading):
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
