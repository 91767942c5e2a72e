"""The repository's own configuration of Prometheus and Alertmanager, with the demo's addresses, waits and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from .. import rulefiles
from ..rulegen import Links
from .channels import HOST, Channels
from .programs import ROOT

#: In a wheel the files lie beside this one.
_PLACE: Final = ROOT if (ROOT / "alertmanager" / "alertmanager.yml").is_file() else Path(__file__).with_name("bundle")
_THRESHOLDS: Final = Path(__file__).with_name("thresholds.yml")
_RUNBOOKS: Final = ROOT / "docs" / "runbooks"

#: The demo is over in minutes; so are its scrapes, evaluations and the waits of its routes.
INTERVAL: Final = "2s"
_GROUP_WAIT: Final = "1s"
_GROUP_INTERVAL: Final = "2s"

Config = dict[str, Any]


def rules() -> str:
    """The rules that the demo's thresholds make."""
    # A newcomer has the runbooks where the rules are; from a wheel, nobody knows where they are.
    links = Links(f"{_RUNBOOKS.as_uri()}/{{alert}}.md") if _RUNBOOKS.is_dir() else Links()
    return rulefiles.generated(_THRESHOLDS, rulefiles.Options(links=links))[rulefiles.RULES["prometheus"]]


def prometheus(targets: Mapping[str, str], rule_file: Path) -> str:
    """Its configuration, as text; ``targets``: an address by job."""
    config = _read("prometheus/prometheus.yml")
    config["global"] |= dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), INTERVAL)
    config["rule_files"] = [str(rule_file)]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [targets["alertmanager"]]}]}]}
    return yaml.safe_dump(config, sort_keys=False)


def alertmanager(channels: Channels) -> str:
    """Its configuration, as text: every channel ends in the demo's own, without secrets, at every hour of the day."""
    config = _read("alertmanager/alertmanager.yml")
    config["templates"] = [str(_PLACE / "alertmanager" / "templates" / "*.tmpl")]
    config["global"] = {
        **{key: value for key, value in config["global"].items() if not key.startswith("smtp_auth")},
        "smtp_smarthost": f"{HOST}:{channels.mail}",
        "smtp_require_tls": False,
    }
    for route in _routes(config["route"]):
        route.pop("mute_time_intervals", None)
        for key, shorter in (("group_wait", _GROUP_WAIT), ("group_interval", _GROUP_INTERVAL)):
            if route.get(key, "0s") != "0s":
                route[key] = shorter
    for receiver in config["receivers"]:
        for kind, blocks in receiver.items():
            if kind == "name":
                continue
            channel = kind.removesuffix("_configs")
            for block in blocks:
                _readdress(channel, block, f"http://{HOST}:{channels.web}/{channel}/{receiver['name']}")
    return yaml.safe_dump(config, sort_keys=False)


def _readdress(channel: str, block: Config, url: str) -> None:
    match channel:
        case "slack":
            del block["api_url_file"]
            block["api_url"] = url
        case "pagerduty":
            del block["routing_key_file"]
            block |= {"routing_key": "demo", "url": url}
        case "webhook":
            block.pop("http_config", None)
            block["url"] = url


def _routes(route: Config) -> Iterator[Config]:
    yield route
    for below in route.get("routes", ()):
        yield from _routes(below)


def _read(name: str) -> Config:
    config: Config = yaml.safe_load((_PLACE / name).read_text("utf-8"))
    return config
