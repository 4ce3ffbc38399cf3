"""What gets installed: the pinned environment, the declared libraries, the files of the package."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import chatlab

PACKAGE = Path(chatlab.__file__).parent
REPOSITORY = PACKAGE.parent
TOML = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = TOML["project"]
PINS = [line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines()]
OLDEST_PYTHON = "3.11.0"
INSTALLERS = {"pip", "setuptools"}  # part of every environment, and never pinned by `pip freeze`


def needed(name, extras):
    """Give what a distribution needs here; the extra "" stands for what it always needs."""
    if name != PROJECT["name"]:
        for requirement in map(Requirement, distribution(name).requires or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                yield requirement
        return
    for extra in extras:
        listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
        yield from map(Requirement, listed)


def closure(extra):
    """Give every distribution in an environment of chatlab with an extra, by following what needs what."""
    found, open_ = {}, [(PROJECT["name"], {extra})]
    while open_:
        name, extras = open_.pop()
        new = (extras | {""}) - found.get(name, set())
        found[name] = found.get(name, set()) | new
        open_ += [(canonicalize_name(other.name), set(other.extras)) for other in needed(name, new)]
    return set(found) - {PROJECT["name"]} - INSTALLERS


def test_the_constraints_pin_what_the_tests_need_and_nothing_else():
    assert {canonicalize_name(name) for name, _ in PINS} == closure("dev")


@pytest.mark.parametrize(("name", "version"), PINS, ids=[name for name, _ in PINS])
def test_every_pinned_version_takes_the_oldest_python(name, version):
    """Debian 12 has 3.11.2, and some libraries ask for a later 3.11 since."""
    try:
        here = distribution(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is not installed")
    if here.version == version:
        assert OLDEST_PYTHON in SpecifierSet(here.metadata["Requires-Python"] or "")


def imported_libraries():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(node.module).split(".")[0]


def test_every_library_that_is_imported_is_declared():
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(text).name) for texts in lists for text in texts}
    homes = packages_distributions()
    outside = set(imported_libraries()) - sys.stdlib_module_names - {"chatlab"}
    assert not {name for name in outside if declared.isdisjoint(map(canonicalize_name, homes[name]))}


def test_every_file_that_is_no_module_goes_into_the_package():
    patterns = TOML["tool"]["setuptools"]["package-data"]["chatlab"]
    packaged = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    others = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert others == packaged


def test_the_changelog_begins_with_the_version_of_the_package():
    [latest, *_] = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest == PROJECT["version"]
