"""What is published: the wheel holds the program and nothing else, and works where only it is installed."""

import json
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def done(*command: str | Path, cwd: Path) -> str:
    """Standard output of a program that must succeed."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree."""
    directory = tmp_path_factory.mktemp("wheel")
    done(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, REPOSITORY, cwd=directory)
    (found,) = directory.iterdir()
    assert found.suffix == ".whl"
    return found


def test_it_holds_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    code = {name for name in names if name.startswith("exporter/")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names == code | metadata
    here = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "exporter").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert code == here | {"exporter/thresholds.yml"}
    assert "exporter/sources/sql/server.sql" in code
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_the_image_is_made_of_all_that_the_wheel_is_made_of() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    lines = [line.split() for line in (REPOSITORY / "Dockerfile").read_text().splitlines()]
    copied = {name for line in lines if line[:1] == ["COPY"] and "--from" not in line[1] for name in line[1:-1]}
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed == needed


def test_it_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place)
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-compile", wheel)
    done(sys.executable, "-m", "pip", "--python", place / "bin" / "python", *install, cwd=tmp_path)
    program = place / "bin" / "pgqueue-exporter"
    version = wheel.name.split("-")[1]
    assert done(program, "--version", cwd=tmp_path) == f"pgqueue-exporter, version {version}\n"
    assert "databases" in json.loads(done(program, "config", "schema", cwd=tmp_path))["properties"]
    # Queries are read from files only when needed: a wheel without them would start, and fail then.
    query = "from exporter.sources.postgres import statement; print(statement('server').as_string())"
    assert "pg_is_in_recovery" in done(place / "bin" / "python", "-c", query, cwd=tmp_path)
    where = done(place / "bin" / "python", "-c", "import exporter; print(exporter.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(place.resolve())
    # Rules, where there is no checkout.
    rules = place / "rules"
    done(program, "rules", "init", rules, cwd=tmp_path)
    assert "every signal" in (rules / "thresholds.yml").read_text().lower()
    done(program, "rules", "build", "--thresholds", rules / "thresholds.yml", cwd=tmp_path)
    assert (rules / "pgqueue.rules.yml").read_bytes() == (REPOSITORY / "rules" / "pgqueue.rules.yml").read_bytes()
    # Without its extra the demo says what is missing, in one sentence.
    demo = subprocess.run([program, "demo"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert demo.returncode == 1
    assert "pgqueue-exporter[demo]" in demo.stderr
    assert "Traceback" not in demo.stderr
