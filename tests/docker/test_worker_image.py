from tests.docker.dockerfile import (
    LOCKED,
    ROOT,
    Dockerfile,
    check_copies,
    check_installs,
    check_packages,
    check_python,
)

IMAGE = Dockerfile("worker.Dockerfile")


def test_the_base_image_has_the_locked_beam_and_a_supported_python():
    base = IMAGE.base("BEAM_IMAGE", r"apache/beam_python(3\.\d+)_sdk:([\d.]+)")
    assert base[2] == LOCKED["apache-beam"]
    check_python(base[1])
    assert IMAGE.instructions("FROM")[-1] == "${BEAM_IMAGE}"
    launcher = IMAGE.argument("LAUNCHER_IMAGE")
    assert f"python{base[1].replace('.', '')}-" in launcher
    assert not launcher.endswith(":latest")


def test_what_is_copied_exists_and_is_let_through():
    check_copies(IMAGE)


def test_each_package_of_the_wheel_is_copied():
    check_packages(IMAGE)


def test_packages_come_from_the_lock_and_nothing_else_from_the_web():
    assert {"beam", "gcp"} <= check_installs(IMAGE)
    assert "apt-get" not in "\n".join(IMAGE.lines)


def test_it_starts_beam_s_program_as_a_named_user():
    assert IMAGE.instructions("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']
    assert IMAGE.instructions("USER") == ["${RUN_AS}"]
    assert IMAGE.argument("RUN_AS") == "root"
    assert any("useradd" in line for line in IMAGE.instructions("RUN"))


def test_the_launcher_s_entry_is_where_the_template_looks_for_it():
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/uncurated/main.py" in IMAGE.instructions("ENV")[0]
    assert "docker/main.py ./" in IMAGE.instructions("COPY")
    assert IMAGE.instructions("WORKDIR")[-1] == "/opt/uncurated"
    assert not (ROOT / "docker" / "__init__.py").exists()
