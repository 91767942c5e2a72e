"""What `serve` runs: collector, page and listener, and the configuration taken anew while they work."""

from __future__ import annotations

import logging
from collections.abc import Callable

from . import logs
from .api.app import create_app
from .api.server import bind, serve
from .api.webwatch import WebWatch
from .collector.collector import Collector
from .collector.pages import Pages
from .config import Config
from .errors import ConfigError

log = logging.getLogger(__name__)


class Service:
    """One exporter. ``find`` reads the configuration; what the command line says of the rest goes before it."""

    def __init__(
        self,
        find: Callable[[], Config],
        *,
        listen: str | None,
        web_file: str | None,
        log_level: str | None,
        log_format: str,
    ) -> None:
        """Read what is configured, and take the port. Raises ConfigError, and ExporterError where it is not free."""
        self._find = find
        self._listen = listen
        self._log_level, self._log_format = log_level, log_format
        self._config = find()
        self._set_up_logs()
        self._pages = Pages(self._config.series_limit)
        self._refused: set[str] = set()
        self._web = WebWatch(web_file, lambda success: self._told("web configuration", success=success))
        self._listener = bind(listen or self._config.listen)
        self._collector = Collector(self._config, self._pages.publish)

    def run(self) -> None:
        """Collect and serve until a signal ends it."""
        self._pages.start()
        self._collector.start()
        self._web.start()
        app = create_app(self._pages, self._databases, self._web.current)
        try:
            serve(app, self._listener, self._reload, self._web.current)
        finally:
            log.info("stopping")
            self._collector.stop(0.7)  # with the server's own end, within two seconds
            self._pages.stop()

    def _databases(self) -> list[str]:
        return [database.name for database in self._config.databases]

    def _set_up_logs(self) -> None:
        logs.set_up(self._log_level or self._config.log_level, self._log_format)

    def _told(self, what: str, *, success: bool) -> None:
        (self._refused.discard if success else self._refused.add)(what)
        self._pages.reload_succeeded(success=not self._refused)

    def _reload(self) -> None:
        success = False
        try:
            success = self._take()
        finally:
            self._told("configuration", success=success)
        self._web.renew()

    def _take(self) -> bool:
        """Take the configuration as it is now, or leave the former one running. Whether it was taken."""
        try:
            new = self._find()
            self._collector.reconfigure(new)
        except ConfigError as error:
            log.error("configuration refused, the former one runs on: %s", error)  # noqa: TRY400  # no bug of ours
            return False
        if new.listen != self._config.listen and self._listen is None:
            log.warning("listen changed: it takes a restart", extra={"listen": new.listen})
        self._config = new
        self._set_up_logs()
        self._pages.series_limit = new.series_limit
        log.info("configuration reloaded", extra={"databases": len(new.databases)})
        return True
