"""What the commands say of files that are not there, and of links that lead nowhere."""

from pathlib import Path

from tests.rules.test_cli import file, run

__all__ = ["file"]  # a fixture


def test_check_says_in_a_line_what_is_not_there_or_cannot_be_read(file: Path) -> None:
    rules, pinned = file.parent / "pgqueue.rules.yml", file.parent / "pinned.tenants"
    pinned.mkdir()
    told = run("check", file)
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        f"{rules} is not there: `pgqueue-exporter rules build` writes it",
        f"{pinned} cannot be read: Is a directory",
    ]


def test_a_placeholder_of_links_that_means_nothing_is_refused(file: Path) -> None:
    for option, url in (("--runbook-url", "https://wiki/{alertname}"), ("--dashboard-url", "https://g/{alert}")):
        told = run("build", file, option, url)
        assert told.exit_code == 2
        assert f"Invalid value for '{option}'" in told.stderr
    assert not (file.parent / "pgqueue.rules.yml").exists()
