"""What a package index gets: metadata, links, the version from tags; files that must agree with pyproject.toml."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import rlnut

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="these tests run away from a checkout")
LINK = re.compile(r"\]\(([^)#\s]+)|(?:src|href)=\"([^\"#]+)\"")
CONDA_NAMES = {"gymnasium[classic-control]": "gymnasium-classic_control", "matplotlib": "matplotlib-base"}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))


def hatchling(folder: Path, *words: str) -> str:
    """What the build backend prints of a folder, without building anything."""
    for module in ("hatchling", "hatch_vcs", "hatch_fancy_pypi_readme"):
        pytest.importorskip(module, reason=f"{module} is not installed (the test extra brings it)")
    done = subprocess.run([sys.executable, "-m", "hatchling", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    return json.loads(hatchling(ROOT, "metadata"))


def links(markdown: str) -> list[str]:
    """The targets of all links and pictures outside of code."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", markdown, flags=re.M | re.S)
    return [one or other for one, other in LINK.findall(prose)]


def test_every_link_of_the_long_description_is_absolute_and_leads_to_a_file(metadata: dict[str, Any]):
    """PyPI shows a relative link as a dead one."""
    ours, shown = links(text("README.md")), links(metadata["readme"]["text"])
    relative = [link for link in ours if "://" not in link]
    assert len(ours) == len(shown) and len(relative) > 3
    assert all(link.startswith("https://") for link in shown)
    for link in relative:
        assert (ROOT / link).exists(), link
        assert any(re.fullmatch(rf"https://.*/(blob|raw)/main/{re.escape(link)}", found) for found in shown), link


def test_pictures_are_shown_from_the_raw_file_and_other_links_from_its_page(tmp_path: Path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "LICENSE").write_text("")
    (tmp_path / "README.md").write_text(
        "[![a](docs/a.png)](docs/a.md) ![b](https://x.org/b.png) [top](#top) <img width=3 src=\"c.png\"> <a href='#x'>"
    )
    raw, page = (f"{project()['project']['urls']['Source']}/{kind}/main/" for kind in ("raw", "blob"))
    assert json.loads(hatchling(tmp_path, "metadata"))["readme"]["text"] == (
        f"[![a]({raw}docs/a.png)]({page}docs/a.md) ![b](https://x.org/b.png) [top](#top) "
        f"<img width=3 src=\"{raw}c.png\"> <a href='#x'>"
    )


def test_the_address_is_the_same_everywhere():
    address = project()["project"]["urls"]["Source"]
    for name in ("pyproject.toml", "CITATION.cff", "recipe/recipe.yaml"):
        for found in re.findall(r"https?://[^\s\"']*rlnut[^\s\"']*", text(name)):
            assert found.startswith((address, "https://pypi.org/")), f"{name}: {found}"
    assert f"repository-code: {address}\n" in text("CITATION.cff")
    if ".invalid/" in address:  # a name that never exists: to be set before the first release, which is refused with it
        assert "repository.invalid" in text(".github/workflows/release.yml")


def test_classifiers_and_workflows_name_the_pythons_that_are_tested(metadata: dict[str, Any]):
    stated = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata["classifiers"]))
    lowest = metadata["requires-python"].removeprefix(">=")
    tried = re.search(r"^others=\(((?:3\.\d+ ?)+)\)", text(".ci/run"), re.M)
    assert tried is not None and stated == [lowest, *tried[1].split()]
    assert set(re.findall(r"^ +(3\.\d+)$", text(".github/workflows/ci.yml"), re.M)) == set(stated)
    assert metadata["license"] == "MIT" and "Typing :: Typed" in metadata["classifiers"] and metadata["authors"]
    assert "license: MIT\n" in text("CITATION.cff") and "license: MIT\n" in text("recipe/recipe.yaml")


def test_the_conda_recipe_needs_what_the_wheel_needs(metadata: dict[str, Any]):
    recipe = text("recipe/recipe.yaml")

    def listed(section: str) -> list[str]:
        block = re.search(rf"^  {section}:\n((?:    - .*\n)+)", recipe, re.M)
        assert block is not None
        return [re.sub(r" +#.*", "", line[6:]) for line in block[1].splitlines()]

    def for_conda(requirement: str) -> str:
        name, _, least = requirement.partition(">=")
        return f"{CONDA_NAMES.get(name, name)} >={least}"

    wanted = [for_conda(found) for found in metadata["dependencies"]]
    assert sorted(listed("run")) == sorted([*wanted, f"python {metadata['requires-python']}"])
    assert {*map(for_conda, project()["build-system"]["requires"])} <= set(listed("host"))
    (script,) = metadata["scripts"].items()
    assert f"- {script[0]} = {script[1]}\n" in recipe


def test_the_version_comes_from_the_tag_in_a_checkout_an_archive_and_a_copy(tmp_path: Path):
    """An archive has no .git; a plain copy has neither, and takes the release that CHANGELOG.md begins with."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitattributes", ".git_archival.txt"):
        shutil.copy(ROOT / name, checkout)
    (checkout / ".git_archival.txt").write_text("describe-name: $Format:%(describe:tags=true,match=v[0-9]*)$\n")

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=checkout, check=True, capture_output=True)

    def versions(name: str) -> list[str]:
        """Of the checkout, and of an archive of it."""
        archive = tmp_path / f"{name}.zip"
        git("archive", "--output", str(archive), "HEAD")
        shutil.unpack_archive(archive, tmp_path / name)
        return [hatchling(folder, "version") for folder in (checkout, tmp_path / name)]

    copy = shutil.copytree(checkout, tmp_path / "copy")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v0.3.0")
    assert versions("tagged") == ["0.3.0"] * 2
    git("commit", "-qm", "two", "--allow-empty")
    assert versions("later") == ["0.3.1.dev1"] * 2
    assert hatchling(copy, "version") == project()["tool"]["hatch"]["version"]["fallback-version"]


def test_the_changelog_begins_with_the_release_that_is_being_prepared():
    found = re.search(r"^## \[(\d+\.\d+\.\d+)\] – (unreleased|\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), re.M)
    assert found is not None
    assert project()["tool"]["hatch"]["version"]["fallback-version"] == f"{found[1]}.dev0"
    installed = rlnut.__version__  # without .dev it is a release, and the newest one has the first heading
    assert ".dev" in installed or installed in (found[1], "0+unknown")


def test_the_archive_is_told_its_tag():
    """Git writes the tag in the place of this text; with the commit as well every archive would be its own version."""
    shown = text(".git_archival.txt")
    assert shown.startswith("describe-name: ") and len(shown.splitlines()) == 1
    assert ".git_archival.txt export-subst\n" in text(".gitattributes")
