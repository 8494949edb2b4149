import json
import re

import pytest

from tests.docker.commands import check_command
from tests.docker.dockerfile import (
    LOCKED,
    ROOT,
    Dockerfile,
    check_copies,
    check_installs,
    check_packages,
    check_python,
)

IMAGE = Dockerfile("trainer.Dockerfile")
# The CUDA of the wheel on PyPI, by its requirement of cuda-toolkit.
CUDA_OF_TORCH = {"2.13.0": "13.0.3"}
PYTHON_OF_UBUNTU = {"22.04": "3.10", "24.04": "3.12"}


def test_the_base_image_has_the_cuda_of_the_locked_torch_and_a_supported_python():
    base = IMAGE.base("CUDA_IMAGE", r"nvidia/cuda:([\d.]+)-base-ubuntu([\d.]+)")
    assert base[1] == CUDA_OF_TORCH[LOCKED["torch"]]
    check_python(PYTHON_OF_UBUNTU[base[2]])
    assert IMAGE.instructions("FROM") == ["${CUDA_IMAGE} AS python", "python AS wheel", "python"]


def test_what_is_copied_exists_and_is_let_through():
    check_copies(IMAGE)


def test_each_package_of_the_wheel_is_copied():
    check_packages(IMAGE)
    assert "train_entry train_entry" in IMAGE.instructions("COPY")


def test_packages_come_from_the_lock_and_nothing_else_from_the_web():
    assert check_installs(IMAGE) == {"evaluate", "train", "train-stores"}
    (system,) = (line for line in IMAGE.lines if "apt-get" in line)
    assert "--no-install-recommends gcc libc6-dev python3-dev python3-venv" in system
    assert "rm -rf /var/lib/apt/lists/*" in system


def test_a_wheel_of_torch_without_cuda_is_refused():
    (install,) = (line for line in IMAGE.lines if "pip install" in line)
    assert "assert torch.version.cuda" in install


def test_it_starts_the_launcher_as_no_root_and_can_write_its_caches():
    (entry,) = IMAGE.instructions("ENTRYPOINT")
    *_, module = json.loads(entry)
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
    (user,) = IMAGE.instructions("USER")
    assert int(user) > 1000  # Ubuntu's image has a user of its own, 1000
    assert any(f"useradd --uid {user}" in line for line in IMAGE.instructions("RUN"))
    caches = re.findall(r"(\w+)=(\S+)", IMAGE.instructions("ENV")[-1])
    assert {name for name, _ in caches} == {
        "XDG_CACHE_HOME",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
    }
    assert all(path.startswith("/var/cache/uncurated") for _, path in caches)
    assert any("chmod 1777 /var/cache/uncurated" in line for line in IMAGE.instructions("RUN"))


def test_the_command_for_one_machine_is_one_that_the_image_takes():
    text = (ROOT / "docker" / "README.md").read_text().split("### One machine")[1]
    command = text.split("$TRAINER")[1].split("\n\n")[0].replace("\\\n", " ").split()
    (entry,) = IMAGE.instructions("ENTRYPOINT")
    assert check_command([*json.loads(entry), *command]) == {"--nproc-per-node": "8"}


@pytest.mark.parametrize("name", ["worker.Dockerfile", "trainer.Dockerfile"])
def test_no_base_is_a_moving_tag(name):
    image = Dockerfile(name)
    bases = [one for one in image.instructions("ARG") if "_IMAGE=" in one]
    assert bases
    assert all(":" in base and not base.endswith(":latest") for base in bases)
