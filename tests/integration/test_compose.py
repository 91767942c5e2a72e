"""docker-compose.yml as data, held against the files it mounts and the programs it starts."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from tests.prometheus import SHIPPED, Prometheus, program
from tests.servers import REPOSITORY, PostgresServer, free_port

COMPOSE = REPOSITORY / "docker-compose.yml"
PROGRAMS = ("prometheus", "alertmanager")


def composed() -> dict[str, Any]:
    """The file as Compose reads it, where its client is here, else as YAML."""
    read = (
        subprocess.run(
            ["docker", "compose", "--file", COMPOSE, "config", "--no-interpolate", "--no-path-resolution"],
            capture_output=True,
            text=True,
            check=False,
        )
        if shutil.which("docker")
        else None
    )
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    if read is not None and "unknown" not in read.stderr:
        assert read.returncode == 0, read.stderr
        assert yaml.safe_load(read.stdout)["services"].keys() == loaded["services"].keys()
    return loaded


def services() -> dict[str, dict[str, Any]]:
    """The services by name."""
    found: dict[str, dict[str, Any]] = composed()["services"]
    return found


def flags(command: list[str]) -> set[str]:
    """The long flags in a command line."""
    return {part.removeprefix("--").split("=")[0] for part in command if part.startswith("--")}


def known(binary: Path, *subcommand: str) -> set[str]:
    """The long flags that a program's help names."""
    done = subprocess.run([binary, *subcommand, "--help"], capture_output=True, text=True, check=False)
    return set(re.findall(r"--(?:\[no-\])?([a-z][a-z0-9.-]+)", done.stdout + done.stderr))


def needed(name: str, *, newest: bool = True) -> Path:
    """A program; skips where it is not here."""
    found = program(name, newest=newest)
    if found is None:
        pytest.skip(f"{name} is not here: run `.ci/{name if newest else 'tools'}`")
    return found


@pytest.mark.parametrize("name", ["postgres", "exporter-1", "exporter-2", "prometheus", "alertmanager"])
def test_every_service_is_pinned_watched_and_confined(name: str) -> None:
    service = services()[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), "a version, not a moving tag"
    assert service["healthcheck"]["test"][0] == "CMD", "no shell, which an image may lack"
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    for port in service["ports"]:
        assert port.startswith("127.0.0.1:"), f"{port} would be open to the network"


def test_no_other_service_is_there_and_no_two_share_a_port() -> None:
    assert set(services()) == {"postgres", "exporter-1", "exporter-2", "prometheus", "alertmanager"}
    ports = [port.rsplit(":", 1)[0] for service in services().values() for port in service["ports"]]
    assert len(ports) == len(set(ports))


def test_every_mounted_file_is_there_and_nobody_writes_to_it() -> None:
    volumes = composed()["volumes"]
    for name, service in services().items():
        for mounted in service["volumes"]:
            source = mounted.split(":")[0]
            if source.startswith("./"):
                made = source.startswith("./compose/secrets/")  # by the script, as another test shows
                assert made or (REPOSITORY / source).exists(), f"{name}: {source}"
                assert mounted.endswith(":ro"), f"{name}: {source}"
            else:
                assert source in volumes


def test_secrets_come_by_file_and_the_script_makes_each(tmp_path: Path) -> None:
    script = Path(shutil.copy(REPOSITORY / "compose" / "secrets.sh", tmp_path))
    for _ in range(2):
        subprocess.run([script], check=True, capture_output=True)
        made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir() if path.is_file()}
        assert all(re.fullmatch(r"\w{32}", text) for text in made.values())
    assert len(set(made.values())) == len(made), "each its own"
    declared = composed()["secrets"]
    assert {name: Path(secret["file"]).name for name, secret in declared.items()} == {name: name for name in made}
    assert {secret for service in services().values() for secret in service.get("secrets", [])} == set(declared)
    for service in services().values():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or value.startswith("/run/secrets/")


def named_files(part: Any) -> Iterator[str]:
    """What settings called `…_file` hold, anywhere in a configuration."""
    if isinstance(part, list):
        for below in part:
            yield from named_files(below)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key.lower().endswith("_file"):
                yield value
            else:
                yield from named_files(value)


@pytest.mark.parametrize(
    ("name", "config", "least"),
    [
        ("alertmanager", "alertmanager/alertmanager.yml", 8),
        ("exporter-1", "compose/pgqueue.yml", 2),
        ("exporter-2", "compose/pgqueue.yml", 2),
        ("prometheus", "prometheus/prometheus.yml", 0),
        ("postgres", "", 1),
    ],
)
def test_every_file_that_a_setting_names_is_mounted(name: str, config: str, least: int) -> None:
    service = services()[name]
    settings = yaml.safe_load((REPOSITORY / config).read_text()) if config else service["environment"]
    targets = [Path(mounted.split(":")[1]) for mounted in service["volumes"]]
    targets += [Path("/run/secrets") / secret for secret in service.get("secrets", [])]
    files = set(named_files(settings))
    assert len(files) >= least
    for file in files:
        assert any(Path(file).is_relative_to(target) for target in targets), file


def test_the_script_makes_the_folder_of_alertmanagers_secrets_and_leaves_what_is_in_it(tmp_path: Path) -> None:
    script = Path(shutil.copy(REPOSITORY / "compose" / "secrets.sh", tmp_path))
    subprocess.run([script], check=True, capture_output=True)
    (mount,) = (one for one in services()["alertmanager"]["volumes"] if "/secrets" in one)
    folder = tmp_path / Path(mount.split(":")[0]).relative_to("compose")
    assert folder.stat().st_mode & 0o777 == 0o755, "Alertmanager is nobody there"
    assert folder.parent.stat().st_mode & 0o777 == 0o700, "and nobody else gets in here"
    (folder / "webhook_token").write_text("mine")
    subprocess.run([script], check=True, capture_output=True)
    assert [path.read_text() for path in folder.iterdir()] == ["mine"]


def test_the_passwords_stay_out_of_the_repository_and_of_the_image() -> None:
    assert "compose/secrets/" in (REPOSITORY / ".gitignore").read_text().splitlines()
    assert (REPOSITORY / ".dockerignore").read_text().splitlines()[1] == "*", "the image is made of named files only"


def test_prometheus_scrapes_and_tells_services_that_are_there() -> None:
    config = yaml.safe_load(SHIPPED.read_text())
    groups = [one for job in config["scrape_configs"] for one in job["static_configs"]]
    groups += [one for manager in config["alerting"]["alertmanagers"] for one in manager["static_configs"]]
    for target in (target for group in groups for target in group["targets"]):
        host, port = target.split(":")
        name = "prometheus" if host == "localhost" else host
        assert any(published.endswith(f":{port}") for published in services()[name]["ports"]), target
    watched = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert {target.split(":")[0] for target in watched} == {name for name in services() if "exporter" in name}


def test_rules_lie_where_prometheus_looks_for_them() -> None:
    mounts = {
        target: source
        for source, target, _ in (one.split(":") for one in services()["prometheus"]["volumes"] if one.endswith(":ro"))
    }
    (config,) = (part.split("=")[1] for part in services()["prometheus"]["command"] if "config.file" in part)
    (pattern,) = yaml.safe_load(SHIPPED.read_text())["rule_files"]
    looked_for = os.path.normpath(Path(config).parent / pattern)
    assert mounts[str(Path(looked_for).parent)] == "./rules"


def test_the_exporters_are_alike_but_for_their_port() -> None:
    one, two = (dict(services()[name]) for name in ("exporter-1", "exporter-2"))
    assert one.pop("ports") != two.pop("ports")
    assert one == two
    assert one["image"] == f"pgqueue-exporter:{__version__}"


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("newest", [False, True])
def test_every_flag_is_one_that_the_program_knows(name: str, *, newest: bool) -> None:
    assert flags(services()[name]["command"]) - known(needed(name, newest=newest)) == set()


def test_prometheus_starts_with_the_flags_and_its_health_check_passes() -> None:
    check = services()["prometheus"]["healthcheck"]["test"][1:]
    ours = ("--config.file", "--storage.tsdb.path", "--web.enable-lifecycle")
    others = [part for part in services()["prometheus"]["command"] if not part.startswith(ours)]
    with Prometheus(needed("prometheus"), arguments=others) as prometheus:
        assert healthy([needed(check[0]), *check[1:]], "127.0.0.1:9090", prometheus.address)
    assert not healthy([needed(check[0]), *check[1:]], "127.0.0.1:9090", prometheus.address)


def test_alertmanager_starts_with_the_flags_and_its_health_check_passes(tmp_path: Path) -> None:
    service = services()["alertmanager"]
    assert "./alertmanager:/etc/pgqueue/alertmanager:ro" in service["volumes"]
    address = f"127.0.0.1:{free_port()}"
    command = [
        part.replace("/etc/pgqueue", str(REPOSITORY)).replace("path=/alertmanager", f"path={tmp_path}")
        for part in service["command"]
    ]
    check = [needed("amtool"), *service["healthcheck"]["test"][2:]]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [needed("alertmanager"), *command, f"--web.listen-address={address}"], stdout=log, stderr=log
        ) as process,
    ):
        until = time.monotonic() + 30
        while not healthy(check, "127.0.0.1:9093", address):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
        process.terminate()
    assert not healthy(check, "127.0.0.1:9093", address)


def healthy(command: list[str | Path], address: str, where: str) -> bool:
    """Whether a health check passes at another address than the container's."""
    here = [str(part).replace(address, where) for part in command]
    assert here != [str(part) for part in command]
    return subprocess.run(here, capture_output=True, check=False, timeout=30).returncode == 0


@pytest.fixture
def postgres(own_server: Callable[..., PostgresServer], tmp_path: Path) -> PostgresServer:
    """A server with a database `app` that the image's script has prepared."""
    server = own_server(18)
    server.create_database("app")
    (tmp_path / "exporter_password").write_text("S3cret's")
    script = tmp_path / "prepare.sh"
    script.write_text((COMPOSE.parent / "compose" / "postgres.sh").read_text().replace("/run/secrets", str(tmp_path)))
    given = services()["postgres"]["environment"]
    environment = {
        **server.installation.environment,
        "PATH": f"{server.installation.bin}:/usr/bin:/bin",
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "POSTGRES_DB": given["POSTGRES_DB"],
        "POSTGRES_USER": given["POSTGRES_USER"],
    }
    done = subprocess.run(["/bin/sh", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return server


def test_the_exporters_read_the_prepared_database(postgres: PostgresServer, tmp_path: Path) -> None:
    service = services()["exporter-1"]
    assert "./compose/pgqueue.yml:/etc/pgqueue/pgqueue.yml:ro" in service["volumes"]
    text = (REPOSITORY / "compose" / "pgqueue.yml").read_text()
    assert f"/run/secrets/{service['secrets'][0]}" in text
    assert "./rules:/etc/pgqueue/rules:ro" in service["volumes"]
    text = text.replace("/run/secrets", str(tmp_path)).replace("/etc/pgqueue/rules", str(tmp_path))
    file = tmp_path / "pgqueue.yml"
    file.write_text(text.replace("@postgres:5432/", f"@{postgres.host}:{postgres.port}/"))
    (tmp_path / "pinned.tenants").touch()
    command = [sys.executable, "-m", "exporter", "check", "--config", str(file)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 queues" in done.stdout
    assert "nothing is missing" in done.stdout


def test_the_databases_health_check_asks_the_server_that_is_there_to_stay(postgres: PostgresServer) -> None:
    check = services()["postgres"]["healthcheck"]["test"][1:]
    there = [postgres.installation.bin / check[0], *check[1:], f"--port={postgres.port}"]

    def passes() -> bool:
        return subprocess.run(there, env=postgres.installation.environment, check=False).returncode == 0

    assert passes()
    postgres.stop()
    assert not passes()
    assert "--host=127.0.0.1" in check, "by socket, the server that only prepares the database answers too"
