"""What can be told of an image without building it: its Dockerfile and what stands around it."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = dict(
    line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if line
)


class Dockerfile:
    """The instructions of one of the project's images."""

    def __init__(self, name):
        self.path = ROOT / "docker" / name
        text = re.sub(r"^#.*\n", "", self.path.read_text(), flags=re.MULTILINE)
        lines = re.sub(r"\\\n", " ", text).splitlines()
        self.lines = [" ".join(line.split()) for line in lines if line.strip()]

    def instructions(self, word):
        return [line.partition(" ")[2] for line in self.lines if line.split()[0] == word]

    def argument(self, name):
        (value,) = (
            one.removeprefix(f"{name}=")
            for one in self.instructions("ARG")
            if one.startswith(f"{name}=")
        )
        return value

    def base(self, argument, pattern):
        """The match of the default base, which comes from this argument."""
        match = re.fullmatch(pattern, self.argument(argument))
        assert match is not None, self.argument(argument)
        return match


def check_python(version):
    """The project supports this version of Python."""
    supported = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    assert int(supported[0]) <= int(version.removeprefix("3.")) < int(supported[1])


def check_copies(dockerfile):
    """What is copied exists and is let through by .dockerignore; so is all that it lets through."""
    ignore = Path(f"{dockerfile.path}.dockerignore").read_text().split()
    assert ignore[0] == "*"
    allowed = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    copies = [
        line.split() for line in dockerfile.instructions("COPY") if not line.startswith("--from=")
    ]
    assert copies
    for *sources, _ in copies:
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in allowed), source
    assert all((ROOT / name).exists() for name in allowed)


def check_packages(dockerfile):
    """The wheel has each package of the distribution."""
    for package in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]:
        name = package.rstrip("*")
        assert f"{name} {name}" in dockerfile.instructions("COPY"), name


def check_installs(dockerfile):
    """Packages are installed once, at the versions of the lock; nothing else is downloaded.

    Returns the extras that are installed.
    """
    (install,) = (one for one in dockerfile.instructions("RUN") if "pip install" in one)
    assert "--constraint requirements.lock" in install
    assert "[${EXTRAS}]" in install
    assert "pip check" in install
    assert not dockerfile.instructions("ADD")
    assert not re.search(r"\b(curl|wget|git)\b", "\n".join(dockerfile.lines))
    extras = set(dockerfile.argument("EXTRAS").split(","))
    assert extras <= set(PROJECT["project"]["optional-dependencies"])
    return extras
