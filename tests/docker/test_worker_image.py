"""What can be told of the image without building it."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker" / "worker.Dockerfile").read_text()
LINES = [
    " ".join(line.split())
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]
LOCKED = dict(
    line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if line
)


def instructions(word):
    return [line.partition(" ")[2] for line in LINES if line.split()[0] == word]


def test_the_base_image_has_the_locked_beam_and_a_supported_python():
    (base,) = (value for value in instructions("ARG") if value.startswith("BEAM_IMAGE="))
    match = re.fullmatch(r"BEAM_IMAGE=apache/beam_python(3\.\d+)_sdk:([\d.]+)", base)
    assert match is not None
    assert match[2] == LOCKED["apache-beam"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert match[1].split(".")[1] in re.findall(r"3\.(\d+)", project["requires-python"])
    assert instructions("FROM")[-1] == "${BEAM_IMAGE}"
    (launcher,) = (value for value in instructions("ARG") if value.startswith("LAUNCHER_IMAGE="))
    assert f"python{match[1].replace('.', '')}-" in launcher
    assert not launcher.endswith(":latest")


def test_what_is_copied_exists_and_is_let_through():
    ignore = (ROOT / "docker" / "worker.Dockerfile.dockerignore").read_text().split()
    allowed = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    copies = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    assert copies
    for *sources, _ in copies:
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in allowed), source
    assert all((ROOT / name).exists() for name in allowed)


def test_each_package_of_the_wheel_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    for package in packages:
        name = package.rstrip("*")
        assert f"{name} {name}" in instructions("COPY")


def test_packages_come_from_the_lock_and_nothing_else_from_the_web():
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert installs
    assert all("--constraint requirements.lock" in line for line in installs)
    assert not instructions("ADD")
    assert not re.search(r"\b(curl|wget|git|apt-get)\b", "\n".join(LINES))
    assert "[${EXTRAS}]" in installs[0]
    (extras,) = (one[7:].split(",") for one in instructions("ARG") if one.startswith("EXTRAS="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert {"beam", "gcp"} <= set(extras)


def test_it_starts_beam_s_program_as_a_named_user():
    assert instructions("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']
    assert instructions("USER") == ["${RUN_AS}"]
    assert "RUN_AS=root" in instructions("ARG")
    assert any("useradd" in line for line in instructions("RUN"))


def test_the_launcher_s_entry_is_where_the_template_looks_for_it():
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/uncurated/main.py" in instructions("ENV")[0]
    assert "docker/main.py ./" in instructions("COPY")
    assert instructions("WORKDIR")[-1] == "/opt/uncurated"
    assert not (ROOT / "docker" / "__init__.py").exists()
